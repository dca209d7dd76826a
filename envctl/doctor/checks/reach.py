"""Whether packages and images can be had from here: what indexes and registries answered. Known with --net only."""

from __future__ import annotations

from typing import Any

from envctl.doctor.check import Check, Facts, Finding, Level, ok, skip

NEEDS_NET = "needs --net"
AFFECTS = {"index": "package downloads", "registry": "image pulls"}
# what OpenSSL answers where the certificate itself is at fault, and not who signed it (X509_V_ERR_*)
NOT_YET, EXPIRED, OTHER_NAME = 9, 10, 62
NO_TLS, NO_FILE = 0, -1
DAEMONS = "the daemon's registry"  # the one that it asks where an image's name says none
SYSTEM = "/etc/ssl/certs/ca-certificates.crt"
# program -> variables that name its certificate bundle
NAMED_BY = {"pip": ("PIP_CERT", "REQUESTS_CA_BUNDLE"), "uv": ("SSL_CERT_FILE",)}
INSTALL = (
    "get the authority's certificate from whoever runs the network, as /usr/local/share/ca-certificates/NAME.crt",
    "sudo update-ca-certificates",
    "sudo systemctl restart docker   # it reads certificates when it starts",
)
Place = dict[str, Any]


def asked(facts: Facts, kind: str = "") -> list[Place]:
    """The places that were asked; raises `Unknown` where the probe did not end."""
    found: list[Place] = facts.need("reach")
    return [place for place in found if place["kind"] == kind or not kind]


def not_asked(facts: Facts) -> str:
    """Why nothing was asked, "" where something was."""
    told = facts.host.facts
    if "reach" not in told and "probe:reach" not in told:
        return NEEDS_NET
    return "" if told.get("reach") is None or facts.get("reach") else "no index and no registry is configured"


def named(place: Place) -> str:
    """A place as a person knows it: its host, and where that is configured."""
    return place["host"] if place["host"] == place["name"] else f"{place['host']} ({place['name']})"


def affected(places: list[Place]) -> tuple[str, ...]:
    """What cannot be had from these places."""
    return tuple(dict.fromkeys(AFFECTS[place["kind"]] for place in places))


def reach(facts: Facts) -> Finding:
    """net.reach: every place has an address and takes connections, through the proxy where one is set."""
    if not_asked(facts):
        return skip(not_asked(facts))
    places = asked(facts)
    lost = sorted((place for place in places if place["failed"]), key=lambda place: place["kind"])  # indexes first
    shown = tuple(
        f"{named(it)} = {it['failed'] or 'reached'}{': ' + it['said'] if it['said'] else ''}" for it in places
    )
    if not lost:
        return ok(f"{len(places)} configured indexes and registries can be reached", *shown)
    first = lost[0]
    said, fix = _lost(first, alone=len(lost) == 1 < len(places))
    level: Level = "FAIL" if first["kind"] == "index" else "WARN"  # without a registry, what is here still runs
    return Finding(level=level, said=said, evidence=shown, affects=affected(lost), fix=fix)


def _lost(place: Place, alone: bool) -> tuple[str, tuple[str, ...]]:
    """What is wrong with the way to a place, and what mends it."""
    host, said, setting = named(place), place["said"], _setting(place)
    if place["failed"] == "proxy":
        words = f"the proxy that the environment names does not let through to {host}: {said}"
        return words, ("correct https_proxy, or name this host in no_proxy", "env | grep -i _proxy")
    if place["failed"] == "name":
        words = f"{host} has no address here: {said}"
        others = (f"getent hosts {place['host'].partition(':')[0]}", "cat /etc/resolv.conf", setting)
        return words, (setting, *others[:2]) if alone else (
            *others[:2],
            "without a network: --index ALIAS=file:///folder",
        )
    return f"{host} does not answer: {said}", (setting, "ask whether a firewall wants a proxy: export https_proxy=…")


def _setting(place: Place) -> str:
    """What may have to be corrected."""
    if place["name"] == DAEMONS:
        return 'a mirror can stand in for it: "registry-mirrors" in /etc/docker/daemon.json'
    return f"is the address right? it comes from: {place['name']}"


def tls(facts: Facts) -> Finding:
    """net.tls: the programs that download trust who signed the places' certificates."""
    if not_asked(facts):
        return skip(not_asked(facts))
    places = [place for place in asked(facts) if place["tls"]]
    if not places:
        return skip("no place that speaks TLS was reached")
    shown = tuple(f"{named(place)} = {_trusted(place)}" for place in places)
    bad = [place for place in places if any(place["tls"].values())]
    if not bad:
        return ok("certificates are trusted by all that download", *shown)
    said, fix, root = _distrusted(bad[0])
    return Finding(level="FAIL", said=said, evidence=shown, affects=affected(bad), fix=fix, needs_root=root)


def _trusted(place: Place) -> str:
    return ", ".join(f"{who}: {wrong['said'] if wrong else 'trusted'}" for who, wrong in place["tls"].items())


def _distrusted(place: Place) -> tuple[str, tuple[str, ...], bool]:
    """What is wrong with a place's TLS, what mends it, and whether that needs root. TLS is never to be switched off."""
    host, wrong = named(place), {who: it for who, it in place["tls"].items() if it}
    codes = {it["code"] for it in wrong.values()}
    if codes & {EXPIRED, NOT_YET}:
        fix = ("date   # and correct the clock if it is wrong", "else whoever runs the server must renew it")
        return f"the certificate of {host} is not valid at this host's time", fix, False
    if OTHER_NAME in codes:
        fix = (
            _setting(place),
            "or log in to the network first: a captive portal answers so",
        )
        return f"the certificate of {host} is another name's", fix, False
    if codes == {NO_TLS}:
        said = f"{host} speaks no TLS that can be used: {next(iter(wrong.values()))['said']}"
        return said, (_setting(place), "are its scheme and port right?"), False
    programs = sorted(set(wrong) - {"system"})
    if "system" not in wrong:
        said = f"{' and '.join(programs)} do not trust who signed the certificate of {host}; this host's own store does"
        variables = [f"{name}={SYSTEM}" for who in programs for name in NAMED_BY[who]]
        return f"{said}: a company's own authority", (f"export {' '.join(variables)}",), False
    if place["tls"].keys() - wrong.keys():
        said = f"this host's store of authorities does not know who signed the certificate of {host}; Python's own does"
        return said, ("sudo apt-get install --reinstall ca-certificates", "sudo update-ca-certificates"), True
    return f"nothing here trusts who signed the certificate of {host}", INSTALL, True


def index(facts: Facts) -> Finding:
    """pip.index: the configured package indexes answer this user."""
    if not_asked(facts):
        return skip(not_asked(facts))
    places = [place for place in asked(facts, "index") if place["status"] is not None]
    if not places:
        return skip("no package index was reached")
    shown = tuple(f"{named(place)} = HTTP {place['status']}" for place in places)
    for place in places:
        finding = _unusable(place, place["status"], shown)
        if finding:
            return finding
    return ok("the package indexes answer", *shown)


def _unusable(place: Place, status: int, shown: tuple[str, ...]) -> Finding | None:
    """A finding where an index answers, and not with packages."""
    affects = affected([place])
    if status in (401, 403):
        words = "wants a login, and has none or another" if status == 401 else "refuses this user"
        said = f"the index {named(place)} {words}; keyrings were not asked"
        login = "put the login into ~/.netrc (machine HOST login USER password …), or a keyring that uv and pip ask"
        return Finding(level="WARN", said=said, evidence=shown, affects=affects, fix=(login,))
    if status >= 500 or status in (0, 404, 410):
        said = f"the index {named(place)} answers {f'HTTP {status}' if status else 'no HTTP'}"
        last = "or try again later" if status >= 500 else "most addresses of indexes end in /simple"
        fix = (_setting(place), last)
        return Finding(level="FAIL", said=said, evidence=shown, affects=affects, fix=fix)
    return None


def refused_login(facts: Facts) -> Finding | None:
    """For reg.auth: a finding where a registry refuses the login that is kept for it."""
    for place in facts.get("reach") or ():
        status = (place["login"] or {}).get("status")
        if status in (401, 403):
            return _refused(place, status)
    return None


def _refused(place: Place, status: int) -> Finding:
    shown = (f"{named(place)} = HTTP {status} to the login that is kept for it",)
    if status == 401:
        said = f"{named(place)} refuses the login that is kept for it: pulls fail there, of public images too"
        fix = (f"docker logout {place['host']}", f"docker login {place['host']}")
        return Finding(level="FAIL", said=said, evidence=shown, affects=("image pulls",), fix=fix)
    said = f"{named(place)} knows the login and grants it nothing"
    terms = ("ask its owner for the right to pull, or accept the vendor's terms on its page",)
    return Finding(level="WARN", said=said, evidence=shown, affects=("image pulls",), fix=terms)


CHECKS: tuple[Check, ...] = (
    Check(id="net.reach", title="Way to indexes and registries", rule=reach),
    Check(
        id="net.tls", title="Certificates of indexes and registries", rule=tls,
        source="https://docs.astral.sh/uv/concepts/authentication/certificates/",
    ),
    Check(id="pip.index", title="Package indexes", rule=index, source="https://peps.python.org/pep-0503/"),
)  # fmt: skip
