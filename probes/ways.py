"""A connection to a place: its name, a port, the proxy that the environment names; and one question over it."""

import base64
import re
import socket
import threading

import places

STEP_SECONDS = 3
MOST_BYTES = 1 << 16


class Broken(Exception):
    """A step that failed: (step, what was said)."""


def words(error):
    return "no answer within %d s" % STEP_SECONDS if isinstance(error, socket.timeout) else error.strerror or str(error)


def proxy(place):
    """The proxy's address for a place, None for none."""
    from urllib.request import getproxies_environment, proxy_bypass_environment

    found = getproxies_environment()
    address = found.get(place.scheme) or found.get("all")
    return None if not address or proxy_bypass_environment(place.host) else address


def resolved(host, port):
    """Addresses of a host; in a thread, as a resolver cannot be given a time limit."""
    found = {}

    def ask():
        try:
            found["addresses"] = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            found["error"] = error.strerror if isinstance(error, OSError) else "it is no name"

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(STEP_SECONDS)
    if "addresses" not in found:
        raise Broken("name", found.get("error") or "no answer within %d s" % STEP_SECONDS)
    return found["addresses"]


def connected(host, port):
    said = "no address"
    for family, kind, protocol, _, address in resolved(host, port)[:3]:
        link = socket.socket(family, kind, protocol)
        link.settimeout(STEP_SECONDS)
        try:
            link.connect(address)
            return link
        except OSError as error:
            link.close()
            said = words(error)
    raise Broken("connect", said)


def direct(place):
    """ "" where a place can be reached without the proxy, else why not."""
    try:
        connected(place.host, place.port).close()
    except Broken as error:
        return error.args[1]
    return ""


def connection(place):
    """An open connection to a place, through the proxy if there is one; raises Broken."""
    address = proxy(place)
    if not address:
        return connected(place.host, place.port)
    way = places.parsed("proxy", "", address if "://" in address else "http://" + address)
    if way is None or way.scheme != "http":
        raise Broken("proxy", "only proxies of the kind http:// are asked")
    try:
        link = connected(way.host, way.port)
    except Broken as error:
        raise Broken("proxy", error.args[1]) from None
    if place.scheme == "https":
        through(link, place, way)
    return link


def through(link, place, way):
    """Ask the proxy for a way to the place."""
    lines = ["CONNECT %s:%d HTTP/1.1" % (place.host, place.port), "Host: %s:%d" % (place.host, place.port)]
    lines += [basic(way.user, way.password, "Proxy-Authorization")] if way.user else []
    try:
        status = said(link, lines)[0]
    except OSError as error:
        raise Broken("proxy", words(error)) from None
    if status != 200:
        raise Broken("proxy", "it answered %d" % status if status else "it speaks no HTTP")


def basic(user, password, name="Authorization"):
    return "%s: Basic %s" % (name, base64.b64encode(("%s:%s" % (user, password)).encode()).decode())


def said(link, lines):
    """(status, head in lower case names) of the answer to a request; 0 where it is not HTTP."""
    link.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head and len(head) < MOST_BYTES:
        part = link.recv(4096)
        if not part:
            break
        head += part
    first, *rest = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    status = re.match(r"HTTP/1\.[01] (\d{3})", first)
    pairs = [line.partition(":") for line in rest]
    return int(status.group(1)) if status else 0, {name.strip().lower(): value.strip() for name, _, value in pairs}
