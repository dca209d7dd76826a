"""Installs envctl from the bundle beside this file, then has it fill its cache. Travels; standard library only.

Runs on CPython 3.6 up to find out that it is too old; envctl itself needs one of those that the bundle was made for.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
MARK = "made-from-bundle"
PARTIAL = ".partial-wheels"
BAD_INPUT, LACKS, INTERRUPTED = 2, 4, 130


class Stop(Exception):
    """What ends the installation: exit code, what, because, do."""

    def __init__(self, code, what, because=(), do=()):
        super().__init__(what)
        self.code, self.what, self.because, self.do = code, what, because, do


def main():
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        return install(options())
    except Stop as stop:
        lines = ["error: " + stop.what] + ["  " + line for line in stop.because] + ["hint: " + line for line in stop.do]
        print("\n".join(lines), file=sys.stderr)
        return stop.code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        print("error: cannot install envctl\n  %s\nhint: free some space, or --prefix DIR" % error, file=sys.stderr)
        return LACKS


def options():
    home = os.path.expanduser("~")
    parser = argparse.ArgumentParser(prog="install.sh", description="Install envctl from this bundle, without network.")
    parser.add_argument("--prefix", default=os.path.join(home, ".local/share/envctl"), help="where envctl is installed")
    parser.add_argument("--bin", default=os.path.join(home, ".local/bin"), help="folder for the link to envctl")
    parser.add_argument(
        "--cache", default="", help="envctl's cache (default: ENVCTL_CACHE, else the user's cache folder)"
    )
    parser.add_argument("--load", action="store_true", help="give bases and images to Docker as well")
    return parser.parse_args()


def install(chosen):
    manifest = read_manifest()
    own = for_this_python(manifest)
    check_sums(manifest)
    prefix = os.path.abspath(chosen.prefix)
    program = os.path.join(prefix, "venv", "bin", "envctl")
    if not is_made(prefix, own):
        make(prefix, manifest, own)
    link(program, os.path.abspath(chosen.bin))
    command = [program, "unbundle", HERE] + (["--cache", chosen.cache] if chosen.cache else [])
    return subprocess.call(command + (["--load"] if chosen.load else []))


def say(text):
    print("… " + text, file=sys.stderr, flush=True)


# --- what is here


def read_manifest():
    try:
        with open(os.path.join(HERE, "bundle.json"), encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError) as error:
        do = ["carry it over again, or finish it: the same `envctl bundle` again"]
        raise Stop(BAD_INPUT, "%s is not a whole bundle" % HERE, [str(error)], do) from error


def check_sums(manifest):
    """Every file as it lies here has the hash of SHA256SUMS, and that list is the manifest's."""
    with open(os.path.join(HERE, "SHA256SUMS"), encoding="utf-8") as stream:
        sums = [line.rstrip("\n").split("  ", 1) for line in stream]
    listed = {path for _, path in sums}
    lying = {part["path"] for file in manifest["files"] for part in (file["parts"] or [file])} | {"bundle.json"}
    wrong = ["%s  not in SHA256SUMS" % path for path in sorted(lying - listed)]
    for number, (wanted, path) in enumerate(sums, 1):
        if number % 10 == 1:
            say("checking %d of %d files" % (number, len(sums)))
        why = why_wrong(os.path.join(HERE, path), wanted)
        wrong += ["%s  %s" % (path, why)] if why else []
    if wrong:
        do = ["carry these files over again, then the same command"]
        raise Stop(BAD_INPUT, "%s is not a whole bundle" % HERE, wrong[:12] + ["…"] * (len(wrong) > 12), do)


def why_wrong(path, wanted):
    digest = hashlib.sha256()
    try:
        for block in blocks([path]):
            digest.update(block)
    except OSError as error:
        return "missing" if isinstance(error, FileNotFoundError) else str(error)
    return "" if digest.hexdigest() == wanted else "damaged or cut off"


def blocks(paths):
    for path in paths:
        with open(path, "rb") as stream:
            while True:
                block = stream.read(1 << 20)
                if not block:
                    break
                yield block


# --- which Python


def for_this_python(manifest):
    """The bundle's envctl for this interpreter; where it has none, another interpreter of this machine goes on."""
    arch = platform.machine()
    own = {each["python"]: each for each in manifest["own"] if each["arch"] == arch}
    here = "%d.%d" % sys.version_info[:2]
    if here in own:
        return own[here]
    for minor in sorted(own, key=lambda each: int(each.split(".")[1]), reverse=True):
        found = shutil.which("python" + minor)
        if found and subprocess.call([found, "-c", "import json, hashlib, zipfile"], stderr=subprocess.DEVNULL) == 0:
            os.execv(found, [found, "-I", os.path.abspath(__file__)] + sys.argv[1:])
    brought = ", ".join("CPython %s on %s" % (each["python"], each["arch"]) for each in manifest["own"])
    because = ["it has it for %s" % brought, "this is CPython %s on %s (%s)" % (here, arch, sys.executable)]
    do = ["PYTHON=/path/to/python3 sh install.sh", "or make the bundle for it: envctl bundle --python %s" % here]
    raise Stop(LACKS, "the bundle has no envctl for this Python", because, do)


# --- the program


def identity(own):
    """Stands for everything that is installed: the interpreter, and the requirements with their hashes."""
    with open(os.path.join(HERE, own["requirements"]), "rb") as stream:
        return "%s %s\n" % (sys.executable, hashlib.sha256(stream.read()).hexdigest())


def is_made(prefix, own):
    try:
        with open(os.path.join(prefix, "venv", MARK), encoding="utf-8") as stream:
            return stream.read() == identity(own)
    except OSError:
        return False


def make(prefix, manifest, own):
    """A virtual environment with envctl; its mark is written last, and one without mark is made anew."""
    venv, wheels = os.path.join(prefix, "venv"), os.path.join(prefix, PARTIAL)
    if os.path.isdir(venv) and not os.path.exists(os.path.join(venv, "pyvenv.cfg")):
        raise Stop(BAD_INPUT, "%s holds something else than envctl" % venv, (), ["choose another folder: --prefix DIR"])
    shutil.rmtree(venv, ignore_errors=True)
    shutil.rmtree(wheels, ignore_errors=True)
    os.makedirs(wheels)
    try:
        collect(manifest, own, wheels)
        fill(venv, wheels, os.path.join(HERE, own["requirements"]))
        with open(os.path.join(venv, MARK), "w", encoding="utf-8") as stream:
            stream.write(identity(own))
    except BaseException:
        shutil.rmtree(venv, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(wheels, ignore_errors=True)


def collect(manifest, own, wheels):
    """envctl's wheels in one folder, joined where they were cut; who installs them checks their hashes again."""
    files = {file["path"]: file for file in manifest["files"]}
    for path in own["wheels"]:
        parts = [os.path.join(HERE, part["path"]) for part in (files[path]["parts"] or [files[path]])]
        with open(os.path.join(wheels, os.path.basename(path)), "wb") as stream:
            for block in blocks(parts):
                stream.write(block)


def fill(venv, wheels, requirements):
    say("installing envctl into %s" % venv)
    given = ["--no-index", "--no-deps", "--require-hashes", "--find-links", wheels, "-r", requirements]
    done = run([sys.executable, "-I", "-m", "venv", "--without-pip", venv])
    python = os.path.join(venv, "bin", "python")
    if done.returncode == 0:
        pip = os.path.join(one(wheels, "pip-"), "pip")
        quiet = ["--isolated", "--quiet", "--no-cache-dir", "--disable-pip-version-check", "--no-warn-script-location"]
        finished(run([python, "-I", pip, "install"] + quiet + given), "pip")
        return
    say("this Python has no venv module: using uv from its wheel")  # Debian's python3-minimal, say
    uv = binary(one(wheels, "uv-"), wheels)
    shutil.rmtree(venv, ignore_errors=True)
    none = ["--offline", "--no-config", "--no-cache"]
    finished(run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, venv] + none), "uv")
    finished(run([uv, "pip", "install", "--quiet", "--python", python] + none + given), "uv")


def run(command):
    """A finished child. The person's settings for pip, uv and Python do not reach it: they could name an index."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PYTHON"))}
    kept["UV_PYTHON_DOWNLOADS"] = "never"
    pipe = subprocess.PIPE
    return subprocess.run(command, env=kept, stdout=pipe, stderr=pipe, universal_newlines=True, check=False)


def finished(done, tool):
    if done.returncode:
        lines = ["%s: %s" % (tool, line) for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        do = ["free some space, or choose another folder: --prefix DIR"] if "space left" in done.stderr else []
        raise Stop(LACKS, "envctl could not be installed", lines[-6:], do)


def one(folder, start):
    return next(os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.startswith(start))


def binary(wheel, folder):
    """uv's program out of its wheel."""
    path = os.path.join(folder, "uv-program")
    with zipfile.ZipFile(wheel) as archive:
        name = next(each for each in archive.namelist() if each.endswith(".data/scripts/uv"))
        with archive.open(name) as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target)
    os.chmod(path, 0o755)
    return path


def link(program, folder):
    """The link on PATH, made last; a file there that is not ours stays."""
    os.makedirs(folder, exist_ok=True)
    place = os.path.join(folder, "envctl")
    ours = os.path.islink(place) and os.readlink(place).endswith("/venv/bin/envctl")
    if os.path.lexists(place) and not ours:
        say("%s is there and is not ours: call %s" % (place, program))
        return
    partial = "%s.partial-%d" % (place, os.getpid())
    os.symlink(program, partial)
    os.replace(partial, place)
    say("envctl is %s" % place)


if __name__ == "__main__":
    sys.exit(main())
