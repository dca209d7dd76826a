"""What stands between this host and registries, as far as it shows without asking the network (ids net.*, reg.*); what
registries answered, where they were asked (--net), is added to it."""

from __future__ import annotations

from envctl.doctor.check import Check, Facts, Finding, Level, ok, skip
from envctl.doctor.checks.docker import RESTART, no_engine
from envctl.doctor.checks.reach import asked, named, not_asked, refused_login

PULLS = ("image pulls",)
PYTHON = ("package downloads",)
UNUSABLE = {"absent": "does not exist", "unreadable": "may not be read", "empty": "is empty", "not PEM": "is no PEM"}


def proxy(facts: Facts) -> Finding:
    """net.proxy: the daemon that pulls goes the same way out as this user."""
    if no_engine(facts):
        return skip(no_engine(facts))
    mine = facts.need("network_environment")["proxies"]
    daemon = facts.need("docker_info")["proxies"]
    shown = (f"environment = {', '.join(mine) or 'no proxy'}", f"/info = {', '.join(daemon) or 'no proxy'}")
    out = {"http_proxy", "https_proxy", "all_proxy"} & set(mine)
    if not out or {"HttpProxy", "HttpsProxy"} & set(daemon):
        return ok("the daemon uses a proxy" if daemon else "no proxy is set", *shown)
    if facts.get("docker_unit_proxy"):
        said, fix = "a proxy is set for the daemon, but it began before that", ("sudo systemctl daemon-reload", RESTART)
    else:
        said = "this user goes through a proxy, and the daemon, which pulls images, does not"
        fix = ('add "proxies": {"http-proxy": …, "https-proxy": …, "no-proxy": …} to /etc/docker/daemon.json', RESTART)
    level, more = _without_proxy(facts)
    if level == "OK":
        return ok("the daemon has no proxy and needs none: registries can be reached without", *shown, *more)
    return Finding(level=level, said=said, evidence=(*shown, *more), affects=PULLS, fix=fix, needs_root=True)


def _without_proxy(facts: Facts) -> tuple[Level, tuple[str, ...]]:
    """How bad it is that the daemon knows no proxy: a failure where a registry cannot be reached without."""
    places = [] if not_asked(facts) or not facts.get("reach") else asked(facts, "registry")
    tried = {named(place): place["direct"] for place in places if place.get("direct") is not None}
    shown = tuple(f"{name} without proxy = {why or 'reached'}" for name, why in tried.items())
    return ("FAIL" if any(tried.values()) else "OK" if tried else "WARN"), shown


def bundles(facts: Facts) -> Finding:
    """net.ca: the certificate bundles that the environment names can be read."""
    found = facts.need("network_environment")["bundles"]
    bad = {name: state for name, state in found.items() if state}
    if not bad:
        return ok("certificate bundles are in order", f"environment = {', '.join(found) or 'none named'}")
    name, state = next(iter(bad.items()))
    said = f"the certificate bundle that {name} names {UNUSABLE.get(state, state)}: every HTTPS request of Python fails"
    right = facts.get("own_certificates") or {}
    fix = f"export {name}={right['bundle']}" if right.get("bundle") else f"unset {name}"
    shown = tuple(f"{one} = {why}" for one, why in bad.items())
    return Finding(level="FAIL", said=said, evidence=shown, affects=PYTHON, fix=(f"{fix}   # or: unset {name}",))


def own(facts: Facts) -> Finding:
    """net.own_ca: certificates that were added to this host are used, by the daemon too."""
    found = facts.need("own_certificates")
    shown = f"own certificates = {found['count']}, {found['not_installed']} of them not in the system's bundle"
    if not found["count"]:
        return ok("no certificates of its own", shown)
    if found["not_installed"]:
        fix = ("sudo update-ca-certificates", RESTART)
        said = "certificates were put into /usr/local/share/ca-certificates and never installed"
        return Finding(level="WARN", said=said, evidence=(shown,), affects=(*PULLS, *PYTHON), fix=fix, needs_root=True)
    began, made = facts.get("docker_started"), found["made"]
    if began and made and made > began and facts.get("docker_version"):
        said = "the system's certificates changed after dockerd started, which reads them once: pulls may fail (x509)"
        times = f"bundle = written at {made}; docker.pid = written at {began}"
        return Finding(level="WARN", said=said, evidence=(shown, times), affects=PULLS, fix=(RESTART,), needs_root=True)
    return _python_sees(facts, shown)


def _python_sees(facts: Facts, shown: str) -> Finding:
    """Python's own bundle (certifi) knows nothing of the host's certificates."""
    named = facts.need("network_environment")["bundles"]
    if named:
        return ok("this host's own certificates are used", shown, f"environment = {', '.join(named)}")
    bundle = facts.need("own_certificates")["bundle"]
    said = "this host has certificates of its own; Python programs with a bundle of their own (certifi) do not see them"
    fix = (f"export REQUESTS_CA_BUNDLE={bundle} SSL_CERT_FILE={bundle} PIP_CERT={bundle}   # if downloads fail (x509)",)
    return Finding(level="INFO", said=said, evidence=(shown, "environment = no bundle named"), fix=fix)


def login(facts: Facts) -> Finding:
    """reg.auth: the docker program can read its credentials."""
    if no_engine(facts):
        return skip(no_engine(facts))
    found = facts.need("registry_login")
    shown = f"~/.docker/config.json = {found['state']}, {found['registries']} registries"
    if found["state"] == "unreadable":
        own_it = ('sudo chown -R "$USER" ~/.docker',)
        said = "~/.docker/config.json belongs to another user (docker login under sudo?): logins are not used"
        return Finding(level="WARN", said=said, evidence=(shown,), affects=PULLS, fix=own_it, needs_root=True)
    if found["state"].startswith("invalid"):
        said = "~/.docker/config.json is not valid JSON: every docker command complains or fails"
        fix = ("python3 -m json.tool ~/.docker/config.json", "mend it, or move it away and log in again")
        return Finding(level="FAIL", said=said, evidence=(shown,), affects=PULLS, fix=fix)
    gone = sorted(name for name, there in found["helpers"].items() if not there)
    if gone:
        return _no_helper(gone[0], shown)
    refused = refused_login(facts)
    if refused:
        return refused
    return ok("docker can read its logins" if found["registries"] else "docker has no logins", shown)


def _no_helper(name: str, shown: str) -> Finding:
    said = f"docker asks docker-credential-{name} for logins, and there is no such program: pulls fail, public ones too"
    fix = (
        f'remove "credsStore": "{name}" (or its credHelpers entry) from ~/.docker/config.json, then log in again',
        f"or install docker-credential-{name}",
    )
    evidence = (shown, f"PATH = no docker-credential-{name}")
    return Finding(level="FAIL", said=said, evidence=evidence, affects=PULLS, fix=fix)


CHECKS: tuple[Check, ...] = (
    Check(
        id="net.proxy", title="Proxy", rule=proxy, after=("dk.socket",),
        source="https://docs.docker.com/engine/daemon/proxy.md",
    ),
    Check(
        id="net.ca", title="Certificate bundles", rule=bundles,
        source="https://github.com/run-llama/llama_cloud_services/issues/348",
    ),
    Check(
        id="net.own_ca", title="This host's own certificates", rule=own,
        source="https://github.com/moby/moby/issues/36820",
    ),
    Check(
        id="reg.auth", title="Logins at registries", rule=login,
        source="https://github.com/docker/docker-credential-helpers/issues/149",
    ),
)  # fmt: skip
