"""The Debian packages of a base: what the real apt chooses, once a day, and each with its hash."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from envctl import debian
from envctl.base import Base, base_for, bases
from envctl.debian import DebianPackage, packages_of
from envctl.errors import HostLacks
from envctl.tree import cache_root
from tests import debian_repo, locking

SAID: list[str] = []


@pytest.fixture
def base() -> Base:
    found = base_for("3.11")
    assert found
    return found


def ask(base: Base, mirror: str | None, *, offline: bool = False, fresh: bool = False) -> tuple[DebianPackage, ...]:
    SAID.clear()
    return packages_of(base, "x86_64", mirror, offline=offline, fresh=fresh, say=SAID.append)


@pytest.mark.usefixtures("stand_ins")
def test_the_mirror_is_asked_once_a_day(base: Base, tmp_path: Path) -> None:
    mirror = debian_repo.publish(tmp_path, locking.VERSIONS)
    first = ask(base, mirror)
    assert SAID and {package.version for package in first} == {"1.0-1"}
    debian_repo.publish(tmp_path, dict.fromkeys(locking.VERSIONS, "2.0-1"))
    assert ask(base, mirror) == first and not SAID
    assert {package.version for package in ask(base, mirror, fresh=True)} == {"2.0-1"}
    (kept,) = (cache_root() / "debian").iterdir()
    yesterday = kept.stat().st_mtime - debian.FRESH_SECONDS
    debian_repo.publish(tmp_path, dict.fromkeys(locking.VERSIONS, "3.0-1"))
    os.utime(kept, (yesterday, yesterday))
    assert {package.version for package in ask(base, mirror, offline=True)} == {"2.0-1"}
    assert {package.version for package in ask(base, mirror)} == {"3.0-1"}


@pytest.mark.usefixtures("stand_ins")
def test_a_kept_answer_that_is_damaged_is_asked_for_again(base: Base, tmp_path: Path) -> None:
    mirror = debian_repo.publish(tmp_path, locking.VERSIONS)
    first = ask(base, mirror)
    (kept,) = (cache_root() / "debian").iterdir()
    kept.write_text(kept.read_text()[:50])
    assert ask(base, mirror) == first and SAID


@pytest.mark.usefixtures("stand_ins")
def test_an_architecture_is_asked_for_by_debian_s_name(base: Base, tmp_path: Path) -> None:
    mirror = debian_repo.publish(tmp_path, locking.VERSIONS)
    found = packages_of(base, "aarch64", mirror, offline=False, fresh=False, say=SAID.append)
    assert {package.arch for package in found} == {"arm64"}
    assert found[0].sha256 == debian_repo.sha256_of(found[0].name, "1.0-1", "arm64")


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, "could not find the packages"),
        (lambda root: (root / "dists/bookworm/main/binary-amd64/Packages").write_text("cut"), "could not find"),
        (lambda root: debian_repo.publish(root, {"base-files": "1", "dpkg": "1"}), "could not find"),
    ],
    ids=["no mirror", "an index that is not the signed one", "a package that is not there"],
)
def test_a_mirror_that_fails_is_one_clear_error_and_nothing_is_kept(
    base: Base, tmp_path: Path, spoil: object, words: str
) -> None:
    mirror = debian_repo.publish(tmp_path / "mirror", locking.VERSIONS)
    assert callable(spoil)
    spoil(tmp_path / "mirror")
    with pytest.raises(HostLacks, match=words) as caught:
        ask(base, mirror)
    assert caught.value.because and any("--base none" in hint for hint in caught.value.do)
    assert not (cache_root() / "debian").exists()


@pytest.mark.usefixtures("stand_ins")
def test_an_unsigned_mirror_is_refused(base: Base, tmp_path: Path) -> None:
    mirror = debian_repo.publish(tmp_path, locking.VERSIONS).replace("[trusted=yes] ", "")
    with pytest.raises(HostLacks, match="could not find the packages"):
        ask(base, mirror)


@pytest.mark.usefixtures("stand_ins")
def test_without_mmdebstrap_it_says_what_to_install(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostLacks, match="mmdebstrap is not installed") as caught:
        ask(base, None)
    assert "apt-get install mmdebstrap" in caught.value.do


@pytest.mark.slow
@pytest.mark.parametrize("base", bases(), ids=lambda base: base.suite)
def test_what_is_locked_is_what_is_installed(base: Base, tmp_path: Path) -> None:
    """The packages of a base that is really made, by the same variant: names, versions and architectures."""
    told = tmp_path / "told"
    show = "dpkg-query --admindir=\"$1/var/lib/dpkg\" -W -f '${Package}=${Version}=${Architecture}\\n' > " + str(told)
    command = ["mmdebstrap", f"--variant={debian.VARIANT}", f"--include={','.join(base.packages)}"]
    subprocess.run([*command, f"--customize-hook={show}", base.suite, "/dev/null"], check=True, capture_output=True)
    locked = ask(base, None, fresh=True)
    assert sorted(map(str, locked)) == sorted(told.read_text().split())
