"""Print one JSON document: what stands between this host and registries, without asking the network: proxies,
certificate bundles, and how the docker program logs in. Names only: no address of a proxy, no credential.
"""

import glob
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import fact, main

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
BUNDLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
# (folder for certificates of one's own, folder where each of them shows up once installed)
OWN = (("/usr/local/share/ca-certificates", "/etc/ssl/certs"), ("/etc/pki/ca-trust/source/anchors", None))


def environment():
    """Variables of this process: which proxies are set, and what is wrong with the certificate bundles they name."""
    proxies = sorted({name for name in PROXIES if os.environ.get(name) or os.environ.get(name.upper())})
    bundles = {name: bundle(os.environ[name]) for name in BUNDLES if os.environ.get(name)}
    return {"proxies": proxies, "bundles": bundles}


def bundle(path):
    """What is wrong with a bundle: absent, unreadable, empty, not PEM; "" where nothing is."""
    if os.path.isdir(path):
        return "" if os.listdir(path) else "empty"
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            text = stream.read(1 << 20)
    except FileNotFoundError:
        return "absent"
    except OSError:
        return "unreadable"
    return "" if "-----BEGIN" in text else "not PEM" if text.strip() else "empty"


def own_certificates():
    """How many certificates were added to this host, how many of them the system does not use yet, and since when it
    has its bundle."""
    missing = newest = count = 0
    for folder, shown in OWN:
        for path in glob.glob(folder + "/*.crt") + glob.glob(folder + "/*.pem"):
            count, newest = count + 1, max(newest, int(os.stat(path).st_mtime))
            name = os.path.splitext(os.path.basename(path))[0] + ".pem"
            missing += shown is not None and not os.path.exists(os.path.join(shown, name))
    used = next((it for it in SYSTEM_BUNDLES if os.path.exists(it)), None)
    made = int(os.stat(used).st_mtime) if used else None
    return {"count": count, "not_installed": int(missing), "newest": newest, "bundle": used, "made": made}


def login():
    """How the docker program logs in: the state of its file, its helpers and whether they are there. No credential."""
    path = os.path.join(os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"), "config.json")
    found = {"state": "absent", "registries": 0, "helpers": {}, "proxies": False}
    try:
        with open(path, encoding="utf-8") as stream:
            told = json.load(stream)
        helpers = set((told.get("credHelpers") or {}).values()) | {told.get("credsStore") or ""}
        names = [*(told.get("auths") or {}), *(told.get("credHelpers") or {})]
    except FileNotFoundError:
        return found
    except PermissionError:
        return dict(found, state="unreadable")
    except (ValueError, AttributeError, TypeError, OSError) as error:
        return dict(found, state="invalid: %s" % error)
    there = {it: program("docker-credential-" + it) for it in sorted(helpers) if it}
    return {"state": "read", "registries": len(names), "helpers": there, "proxies": bool(told.get("proxies"))}


def program(name):
    """Whether a program is on the PATH."""
    return any(os.access(os.path.join(it, name), os.X_OK) for it in os.environ.get("PATH", "").split(os.pathsep) if it)


def facts(machine):
    asked = (
        ("network_environment", environment, "environment"),
        ("own_certificates", own_certificates, "/usr/local/share/ca-certificates"),
        ("registry_login", login, "~/.docker/config.json"),
    )
    for name, function, origin in asked:
        value, error = machine.call(name, function)
        yield fact(name, value, origin, error)


if __name__ == "__main__":
    main(facts)
