"""Samples as people have them: what lies at a place, and what an image goes through on its way to a model's input.

Nothing is decoded here: images and people's own functions meet a worker only (worker/adapters/samples.py).
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from envctl.errors import BadInput, Reason
from envctl.model import Tensor

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Kind = Literal["seeded", "npz", "images", "entry"]
SEEDED = "seeded"
ENTRY = re.compile(r"(?P<file>.+\.py):(?P<function>[A-Za-z_]\w*)")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
CHANNELS = {"rgb": 3, "bgr": 3, "gray": 1}
RESIZE = ("bilinear", "nearest", "bicubic", "lanczos", "box")
EXAMPLE = '--preprocess "scale=255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225", or a TOML file of these'


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """What an image goes through: (value / scale - mean) / std, a channel.

    `size` is (height, width), `layout` "nchw" or "nhwc", `order` "rgb", "bgr" or "gray"; where they are not given they
    are the model's. An image is stretched to the size, or (`fit` "crop") its shorter side is, and the middle taken.
    """

    size: tuple[int, ...] = ()
    layout: str = ""
    order: str = ""
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: str = "bilinear"
    fit: str = "stretch"

    def __str__(self) -> str:
        size, mean, std = (
            "x".join(map(str, self.size)),
            *(",".join(f"{v:g}" for v in m) for m in (self.mean, self.std)),
        )
        told = f"{size} {self.layout} {self.order}, / {self.scale:g}, - {mean}, / {std}, {self.resize}"
        return told + (", middle cut out" if self.fit == "crop" else "")


def kind_of(place: str) -> Kind:
    """What lies there: the word "seeded", an .npz file or a folder of them, a folder of images, MODULE.py:FUNCTION."""
    if place == SEEDED:
        return "seeded"
    entry, path = ENTRY.fullmatch(place), Path(place)
    if entry and not path.exists():
        if not Path(entry["file"]).is_file():
            raise BadInput(
                f"no such file: {entry['file']}", do=["MODULE.py:FUNCTION names a file and a function in it"]
            )
        return "entry"
    if not path.is_dir():
        return "npz"
    if any(path.glob("*.npz")):
        return "npz"
    if images(path):
        return "images"
    do = ["numpy.savez(FILE, name=array, …)", f"images are known by their ending: {' '.join(IMAGES)}"]
    raise BadInput(f"{path}: no .npz file lies there, and no image", do=do)


def images(folder: Path) -> list[str]:
    """The images in a folder and in those below it, by their paths inside it, in order."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGES and path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def labels(files: list[str]) -> tuple[list[int], list[str]]:
    """The class of each image and the classes' names: the folders that the images lie in, in order. None of either
    where images lie in no folder, or in several levels of them."""
    depths = {name.count("/") for name in files}
    if depths != {1}:
        return [], []
    classes = sorted({name.partition("/")[0] for name in files})
    index = {name: number for number, name in enumerate(classes)}
    return [index[name.partition("/")[0]] for name in files], classes


def spread(files: list[str], most: int) -> list[str]:
    """At most that many of the files, evenly taken from the first to the last; 0: all."""
    if not most or len(files) <= most:
        return files
    return [files[index * len(files) // most] for index in range(most)]


def read_preprocessing(said: str) -> Preprocessing:
    """What --preprocess says: a TOML file, or NAME=VALUE words; raises `BadInput` for what it does not know."""
    path = Path(said)
    table = _toml(path) if path.suffix == ".toml" else _words(said)
    known = {each.name for each in fields(Preprocessing)}
    if unknown := sorted(set(table) - known):
        do = [f"known: {', '.join(sorted(known))}", EXAMPLE]
        raise BadInput(f"--preprocess has {unknown[0]!r}, which is none", do=do)
    try:
        return _preprocessing(table)
    except (TypeError, ValueError) as error:
        raise BadInput("--preprocess cannot be read", because=[Reason(text=str(error))], do=[EXAMPLE]) from error


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as TOML", because=[Reason(text=str(error))]) from error


def _words(said: str) -> dict[str, Any]:
    pairs = [word.partition("=") for word in said.split()]
    if not all(equals and value for _, equals, value in pairs):
        raise BadInput(f"--preprocess {said!r}: not NAME=VALUE words", do=[EXAMPLE])
    return {name: re.split(r"[,x]", value) if name in ("size", "mean", "std") else value for name, _, value in pairs}


def _preprocessing(table: dict[str, Any]) -> Preprocessing:
    lists = {name: tuple(map(float, _several(table[name]))) for name in ("mean", "std") if name in table}
    size = tuple(map(int, _several(table.get("size", ()))))
    words = {name: str(table[name]).lower() for name in ("layout", "order", "resize", "fit") if name in table}
    made = Preprocessing(size=size, scale=float(table.get("scale", 1.0)), **words, **lists)  # type: ignore[arg-type]
    choices = {"layout": ("", "nchw", "nhwc"), "order": ("", *CHANNELS), "resize": RESIZE, "fit": ("stretch", "crop")}
    for name, known in choices.items():
        if (value := getattr(made, name)) not in known:
            raise ValueError(f"{name} is {value!r}, not one of {', '.join(filter(None, known))}")
    if len(size) not in (0, 2) or any(each < 1 for each in size):
        raise ValueError("size is HEIGHTxWIDTH")
    if not made.scale or not all(made.std):
        raise ValueError("nothing can be divided by 0 (scale, std)")
    return made


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def for_input(said: Preprocessing, tensors: tuple[Tensor, ...]) -> Preprocessing:
    """The preprocessing with what it leaves open filled in from the model's one input, which it must suit."""
    if len(tensors) != 1 or len(tensors[0].shape or ()) != 4:
        told = "; ".join(map(str, tensors))
        raise BadInput(f"images are for a model with one input of four sizes; it has {told}", do=["give an .npz file"])
    tensor, shape = tensors[0], tensors[0].shape or ()
    layout = said.layout or tensor.layout.lower()
    if layout not in ("nchw", "nhwc"):
        raise BadInput(f"{tensor} does not tell where its channels are", do=["--preprocess 'layout=nchw', or nhwc"])
    channels, sizes = (shape[1], shape[2:]) if layout == "nchw" else (shape[3], shape[1:3])
    order = said.order or {1: "gray", 3: "rgb"}.get(channels or 3, "")
    size = said.size or tuple(each or 0 for each in sizes)
    if not all(size):
        raise BadInput(f"{tensor} leaves the images' size open", do=["--preprocess 'size=224x224'"])
    fits = all(a in (None, b) for a, b in zip((channels, *sizes), (CHANNELS.get(order, 0), *size), strict=True))
    if not fits or any(len(each) not in (1, CHANNELS[order]) for each in (said.mean, said.std)):
        given = f"{'x'.join(map(str, size))} {layout} {order or f'of {channels} channels'}"
        because = [Reason(text=f"images of {given}; mean and std have {len(said.mean)} and {len(said.std)} values")]
        raise BadInput(f"--preprocess does not suit {tensor}", because=because, do=[EXAMPLE])
    plain = said.scale == 1 and set(said.mean) == {0.0} and set(said.std) == {1.0}
    if tensor.dtype not in ("float32", "float16") and not (tensor.dtype == "uint8" and plain):
        raise BadInput(f"images cannot become {tensor.dtype} with that preprocessing", do=["give an .npz file"])
    return Preprocessing(**{**asdict(said), "size": size, "layout": layout, "order": order})


def digests(arrays: Mapping[str, Array]) -> list[str]:
    """A digest of each sample over all inputs, in the order of their names: equal samples have equal ones."""
    ordered = [arrays[name] for name in sorted(arrays)]
    joined = (b"".join(sample.tobytes() for sample in each) for each in zip(*ordered, strict=True))
    return [hashlib.sha256(each).hexdigest() for each in joined]


def shared(judged: Mapping[str, Array], calibrated: Mapping[str, Array]) -> tuple[int, int]:
    """How many of the samples that are judged were calibrated on, of how many: those of a batch count one by one."""
    one, other = (digests(rows(arrays)) for arrays in (judged, calibrated))
    return len(set(one) & set(other)), len(one)


def rows(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays [samples, batch, ...] with the two axes in one, where those of all inputs are alike."""
    alike = len({array.shape[:2] for array in arrays.values()}) == 1
    flat = alike and all(array.ndim > 2 for array in arrays.values())
    return {name: array.reshape(-1, *array.shape[2:]) if flat else array for name, array in arrays.items()}


def identity(arrays: Mapping[str, Array]) -> str:
    """One digest of all samples: of their names, types, shapes, numbers and order."""
    told = [f"{name} {array.dtype} {array.shape}" for name, array in sorted(arrays.items())]
    return hashlib.sha256("\n".join([*told, *digests(arrays)]).encode()).hexdigest()
