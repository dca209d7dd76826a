"""Print one JSON document: whether packages and images can be had from here: name, connection, proxy, TLS as each
program checks it, the answer's status. The one probe that uses the network: `envctl doctor --net` alone runs it.

Every place is asked in a child of its own, all at once. Credentials are sent only where TLS was verified, or to this
machine itself, and only to whom they belong (a registry names who hands out its tokens); none is told.
"""

import os
import re
import ssl
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import places
from machine import Child, fact, main
from ways import Broken, basic, connection, direct, proxy, said, words

PLACE_SECONDS = 8


def asked(place):
    """What one place answers: the step that failed and why, who trusts its certificate, and the status."""
    found = {"kind": place.kind, "name": place.name, "host": place.shown(), "scheme": place.scheme}
    found.update({"proxy": bool(proxy(place)), "failed": None, "said": None, "tls": {}, "status": None, "login": None})
    try:
        if proxy(place):
            found["direct"] = direct(place)
        connection(place).close()
        if place.scheme == "https":
            found["tls"] = {who: trust(place, *files) for who, files in places.bundles(place).items()}
        if place.insecure and place.scheme == "https" and any(it and not it["code"] for it in found["tls"].values()):
            place.scheme, found["scheme"], found["tls"] = "http", "http", {}
        if place.scheme == "http" or None in found["tls"].values():
            found["status"], head = answer(place, found["tls"], *login_of(place))
            found["login"] = login(place, found["tls"], found["status"], head) if place.kind == "registry" else None
    except Broken as error:
        found["failed"], found["said"] = error.args
    except OSError as error:
        found["failed"], found["said"] = "answer", words(error)
    return found


def context(path, more):
    found = ssl.create_default_context(cafile=path) if os.path.isfile(path) else ssl.create_default_context(capath=path)
    for file in more:
        found.load_verify_locations(cafile=file)
    return found


def trust(place, path, more):
    """None where who has these authorities trusts the place; {"code", "said"} where not; code 0: no TLS came to be."""
    if not path:
        return {"code": -1, "said": "it has no file of authorities here"}
    try:
        checker = context(path, more)
    except OSError as error:
        return {"code": -1, "said": "its file of authorities cannot be read: %s" % (error.strerror or "not PEM")}
    link = connection(place)
    try:
        checker.wrap_socket(link, server_hostname=place.host).close()
    except ssl.SSLError as error:
        code = getattr(error, "verify_code", 0)
        return {"code": code, "said": getattr(error, "verify_message", "") or error.reason or str(error)}
    except ssl.CertificateError as error:  # CPython 3.6 has no code for another name
        return {"code": 62, "said": str(error)}
    except OSError as error:
        return {"code": 0, "said": words(error)}
    finally:
        link.close()


def opened(place, tls):
    """A connection to ask over: verified by somebody, or plain."""
    link = connection(place)
    if place.scheme == "http":
        return link
    path, more = places.bundles(place)[next(who for who in tls if tls[who] is None)]
    return context(path, more).wrap_socket(link, server_hostname=place.host)


def answer(place, tls, user="", password=""):
    """(status, head) of the place's root."""
    path = "http://%s%s" % (place.shown(), place.path) if place.scheme == "http" and proxy(place) else place.path
    lines = ["%s %s HTTP/1.1" % ("HEAD" if place.kind == "index" else "GET", path), "Host: " + place.shown()]
    lines += ["Connection: close", "Accept: */*", "User-Agent: envctl-doctor"]
    if user and (place.scheme == "https" or place.local()):
        lines.append(basic(user, password))
    link = opened(place, tls)
    try:
        return said(link, lines)
    finally:
        link.close()


def login_of(place):
    """(user, password) of an index, from its address or from netrc; a registry is first asked without."""
    if place.kind == "registry":
        return "", ""
    if place.user:
        return place.user, place.password
    import netrc

    try:
        found = netrc.netrc(os.environ.get("NETRC") or os.path.expanduser("~/.netrc")).authenticators(place.host)
    except (OSError, netrc.NetrcParseError):
        found = None
    return (found[0], found[2] or "") if found else ("", "")


def login(place, tls, status, head):
    """What the registry says of the login that is kept for it: {"from", "status"}; status None: not tried."""
    kept, user, password = places.credentials(place)
    challenge = head.get("www-authenticate", "")
    if status != 401 or not user:
        return {"from": kept, "status": None}
    if challenge.lower().startswith("basic"):
        return {"from": kept, "status": answer(place, tls, user, password)[0] if safe(place) else None}
    told = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    query = "?service=%s&account=%s" % tuple(places.quoted(it) for it in (told.get("service", ""), user))
    giver = places.parsed("registry", place.name, told.get("realm", ""))
    if giver is None or not giver.host or not (safe(place) and safe(giver)):
        return {"from": kept, "status": None}
    giver.path += query
    trusted = {who: trust(giver, *files) for who, files in places.bundles(giver).items()}
    if giver.scheme == "https" and None not in trusted.values():
        return {"from": kept, "status": None}
    return {"from": kept, "status": answer(giver, trusted, user, password)[0]}


def safe(place):
    """Whether a password may go there."""
    return place.scheme == "https" or place.local()


def without_hosts(found):
    """The same without names of hosts, for reports."""
    hosts = sorted({name for it in found for name in (it["host"], it["host"].partition(":")[0])}, key=len, reverse=True)

    def plain(said):
        for host in hosts:
            said = said and said.replace(host, "a host")
        return said

    for it in found:
        tls = {who: wrong and dict(wrong, said=plain(wrong["said"])) for who, wrong in it["tls"].items()}
        it.update(host=it["name"], said=plain(it["said"]), tls=tls)
    return found


def facts(machine):
    if machine.root:
        yield fact("reach", None, "the network", "a recorded machine has no network")
        return
    there = places.configured()
    children = [(place, Child(lambda place=place: asked(place))) for place in there]
    found = []
    for place, child in children:
        plain = {"kind": place.kind, "name": place.name, "host": place.shown(), "scheme": place.scheme, "tls": {}}
        plain.update({"proxy": bool(proxy(place)), "status": None, "login": None, "failed": "answer"})
        try:
            found.append(child.answer(PLACE_SECONDS))
        except OSError as error:
            found.append(dict(plain, said=str(error)))
    yield fact("reach", without_hosts(found) if "--redact" in sys.argv else found, "the network")


if __name__ == "__main__":
    main(facts)
