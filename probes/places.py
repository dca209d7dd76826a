"""Where packages and images come from, as this user has it configured: indexes of pip, uv and envctl; registries of
Docker. Addresses carry credentials: they stay in the process that asks for them, and are told to nobody."""

import base64
import configparser
import glob
import json
import os
import re
import subprocess
from urllib.parse import quote, unquote, urlsplit

INDEX_VARIABLES = (
    "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL",
)  # fmt: skip
ALIAS = "ENVCTL_INDEX_"
IN_UV = re.compile(r'(?m)^\s*(?:url|index-url|default-index)\s*=\s*"([^"]+)"|^\s*extra-index-url\s*=\s*\[([^\]]*)\]')
DAEMON_FILES = ("/etc/docker/daemon.json", "/var/snap/docker/current/config/daemon.json")
HELPER_SECONDS = 2
MOST = 16


class Place:
    """One address; `name` says which setting it comes from. `key` is what Docker's logins call it."""

    def __init__(self, kind, name, url, key=None):
        parts = urlsplit(url)
        self.kind, self.name, self.key, self.scheme = kind, name, key, parts.scheme
        self.host, self.port = parts.hostname or "", parts.port or {"http": 80}.get(parts.scheme, 443)
        self.path, self.insecure = parts.path or "/", False
        self.user, self.password = unquote(parts.username or ""), unquote(parts.password or "")

    def local(self):
        """Whether it is on this machine, where nobody listens in."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def shown(self):
        usual = {"http": 80, "https": 443}.get(self.scheme)
        return self.host if self.port == usual else "%s:%d" % (self.host, self.port)


def configured():
    """Every place, each address once."""
    found = {}
    for place in indexes() + registries():
        found.setdefault((place.kind, place.host, place.port, place.path), place)
    return [place for place in found.values() if place.host and place.scheme in ("http", "https")][:MOST]


def indexes():
    pairs = [(name[len(ALIAS) :].lower(), os.environ[name]) for name in sorted(os.environ) if name.startswith(ALIAS)]
    for name in INDEX_VARIABLES:
        pairs += [(name, re.sub(r"^[\w.-]+=", "", word)) for word in os.environ.get(name, "").split()]
    for path in uv_files():
        for one, many in IN_UV.findall(text(path)):
            pairs += [(os.path.basename(path), it) for it in [one, *re.findall(r'"([^"]+)"', many)] if it]
    for path in pip_files():
        pairs += [("pip.conf", it) for it in in_pip(path)]
    return [place for place in (parsed("index", name, url) for name, url in pairs) if place]


def parsed(kind, name, url, key=None):
    """A place; None for what is no address."""
    try:
        return Place(kind, name, url, key)
    except ValueError:
        return None


def uv_files():
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    named = os.environ.get("UV_CONFIG_FILE")
    return [named] if named else ["uv.toml", os.path.join(home, "uv/uv.toml"), "/etc/uv/uv.toml"]


def pip_files():
    named = os.environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    there = ["/etc/pip.conf", "/etc/xdg/pip/pip.conf", os.path.expanduser("~/.pip/pip.conf")]
    there += [os.path.join(home, "pip/pip.conf"), os.path.join(os.environ.get("VIRTUAL_ENV") or "/", "pip.conf")]
    return there + ([named] if named else [])


def in_pip(path):
    """The indexes in a pip.conf."""
    config = configparser.RawConfigParser(strict=False)
    try:
        config.read_string(text(path))
    except configparser.Error:
        return []
    keys = ("index-url", "extra-index-url", "index_url", "extra_index_url")
    pairs = [(section, key) for section in config.sections() for key in keys if config.has_option(section, key)]
    named = [config.get(section, key) for section, key in pairs]
    return [word for value in named for word in value.split()]


def text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(1 << 20)
    except OSError:
        return ""


def settings(path):
    """The object in a JSON file, {} where there is none."""
    try:
        found = json.loads(text(path) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def docker_config():
    return settings(os.path.join(os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"), "config.json"))


def registries():
    """Those that somebody logged in at, mirrors, the one that the daemon asks by default, and that of ENVCTL_IMAGE."""
    told, engine = docker_config(), engine_info()
    daemon = next(filter(None, map(settings, DAEMON_FILES)), {})
    mirrors = [*(daemon.get("registry-mirrors") or []), *((engine.get("RegistryConfig") or {}).get("Mirrors") or [])]
    pairs = [("login", key) for key in [*(told.get("auths") or {}), *(told.get("credHelpers") or {})]]
    pairs += [("registry mirror", it) for it in mirrors]
    pairs += [("the daemon's registry", it) for it in [engine.get("IndexServerAddress")] if it]
    first, slash, _ = (os.environ.get("ENVCTL_IMAGE") or "").partition("/")
    pairs += [("image", first)] if slash and re.search(r"[.:]|^localhost$", first) else []
    insecure = set(daemon.get("insecure-registries") or [])
    return [place for place in (registry(name, key, insecure) for name, key in pairs) if place]


def registry(name, key, insecure):
    url = key if "://" in key else "https://" + key
    place = parsed("registry", name, url, key)
    if place:
        place.path, place.insecure = "/v2/", place.local() or place.shown() in insecure
    return place


def engine_info():
    from containers import ask, client

    try:
        return ask(client()["sdk"], "/info")
    except Exception:  # no engine answers: nothing is known of its registries
        return {}


def credentials(place):
    """(where they come from, user, password) of a registry's login; a helper is asked as docker asks it."""
    told = docker_config()
    helper = (told.get("credHelpers") or {}).get(place.key) or told.get("credsStore")
    if helper and place.key:
        return from_helper(helper, place.key)
    kept = (told.get("auths") or {}).get(place.key) or {}
    if kept.get("identitytoken"):
        return "token", "", ""
    if not kept.get("auth"):
        return "none", "", ""
    user, _, password = base64.b64decode(kept["auth"]).decode("utf-8", "replace").partition(":")
    return "file", user, password.strip("\0")


def from_helper(helper, key):
    command = ["docker-credential-" + os.path.basename(helper), "get"]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "timeout": HELPER_SECONDS}
    try:
        found = json.loads(subprocess.run(command, input=key.encode(), check=True, **piped).stdout.decode())
    except (OSError, ValueError, subprocess.SubprocessError):
        return "none", "", ""
    user = found.get("Username") or ""
    return ("token", "", "") if user == "<token>" else ("helper", user, found.get("Secret") or "")


def bundles(place):
    """Who checks certificates -> (the file with the authorities it trusts, further files)."""
    import network  # beside this file

    own = next((it for it in network.SYSTEM_BUNDLES if os.path.exists(it)), None)
    more = glob.glob("/etc/docker/certs.d/%s/*.crt" % place.shown())
    if place.kind == "registry":
        return {"system": (own, more)}
    named = {it: os.environ.get(it) for it in network.BUNDLES}
    pip = named["PIP_CERT"] or named["REQUESTS_CA_BUNDLE"] or named["CURL_CA_BUNDLE"] or certifi()
    native = (os.environ.get("UV_SYSTEM_CERTS") or os.environ.get("UV_NATIVE_TLS") or "").lower() in ("1", "true")
    uv = named["SSL_CERT_FILE"] or (own if native else certifi())
    known = {"pip": (pip, []), "uv": (uv, [])}  # without certifi beside us nobody can tell what they would say
    return dict({"system": (own, [])}, **{who: known[who] for who in known if known[who][0]})


def certifi():
    """Mozilla's authorities as Python programs carry them; uv has the same built in."""
    import sys

    prefix = os.path.dirname(os.path.dirname(sys.executable))
    found = [it for name in ("certifi", "pip/_vendor/certifi")
             for it in glob.glob("%s/lib/python3*/site-packages/%s/cacert.pem" % (prefix, name))]  # fmt: skip
    return found[0] if found else None


def quoted(word):
    """A word as part of an address."""
    return quote(word, safe="")
