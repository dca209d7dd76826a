"""Package indexes go by aliases in image specs and locks; their addresses are this machine's configuration."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from envctl.errors import BadInput, HostLacks, Reason

DEFAULT = "pypi"


@dataclass(frozen=True, kw_only=True, slots=True)
class Indexes:
    """Addresses by alias. The default alias needs none: uv's own configuration applies to it."""

    addresses: dict[str, str]

    def address(self, alias: str, wanted: str) -> str | None:
        """The alias's address (None: uv's default); raises `HostLacks` for an alias nobody has configured."""
        if alias == DEFAULT or alias in self.addresses:
            return self.addresses.get(alias)
        because = [
            Reason(text=f"{wanted} are taken from there only", source="images/"),
            Reason(text=f"no address is configured for it ({config_file()}, ENVCTL_INDEX_{alias.upper()})"),
        ]
        raise HostLacks(f"cannot reach the package index {alias!r}", because=because, do=ways_out(alias))


def ways_out(alias: str) -> list[str]:
    """What a person can do about an index that does not answer."""
    return [
        f"give its address or a mirror's: --index {alias}=URL",
        "or, without any network, carry the wheels over and point at their folder: "
        f"--index {alias}=file:///path/to/wheels",
    ]


def config_file() -> Path:
    """The user's configuration: `[index]` with `alias = "address"` lines."""
    from platformdirs import user_config_path

    return user_config_path("envctl") / "config.toml"


def read_indexes(options: list[str]) -> Indexes:
    """The addresses from the configuration file, then the environment, then `alias=address` options."""
    addresses: dict[str, str] = {}
    if config_file().is_file():
        addresses.update(_configured(config_file()))
    prefix = "ENVCTL_INDEX_"
    # an empty variable is how a shell leaves one out
    addresses.update({k[len(prefix) :].lower(): v for k, v in os.environ.items() if k.startswith(prefix) and v})
    for option in options:
        alias, found, address = option.partition("=")
        if not (found and alias and address):
            raise BadInput(f"--index {option!r} is not ALIAS=URL", do=["for example --index nvidia=https://…"])
        addresses[alias] = address
    return Indexes(addresses=addresses)


def _configured(path: Path) -> dict[str, str]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    do = ['write: [index] and, below it, alias = "address" lines']
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("index", {})
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read {path}", because=[Reason(text=str(error))], do=do) from error
    if not isinstance(found, dict) or not all(isinstance(address, str) for address in found.values()):
        raise BadInput(f"{path}: [index] must hold addresses in quotes", do=do)
    return found


def is_folder_of_wheels(address: str | None) -> bool:
    """Whether an address is a plain folder, and not a mirror with an index of its own."""
    if not (address and address.startswith("file:")):
        return False
    return not Path(unquote(urlsplit(address).path), "index.html").exists()
