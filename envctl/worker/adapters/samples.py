"""No engine: samples for a model, from images or from a person's own function; run with numpy and Pillow alone.

`convert` writes 0.npy, 1.npy … [samples, *shape of the model's input]. Images are turned as their EXIF says, and go
through (value / scale - mean) / std in float32. https://pillow.readthedocs.io/en/stable/reference/Image.html
"""

import json
import os

from failure import StepFailed

WIDE = ("I", "F", "I;16", "I;16B", "I;16L")  # more than 8 bits a channel: Pillow would cut them off in silence


def open_engine():
    import numpy  # noqa: F401
    import PIL  # noqa: F401


def versions():
    import numpy
    import PIL

    return {"numpy": numpy.__version__, "pillow": PIL.__version__}


def convert(source, target, options):
    made = decoded(source, target, options) if options["kind"] == "images" else called(source, target, options)
    names, count = made
    files = ["%d.npy" % index for index in range(len(names))]
    return {"artifacts": files, "read_back": {"inputs": json.dumps(names), "samples": str(count)}}


def decoded(source, target, options):
    """Every image of `files`, as one array that grows on disk."""
    import numpy

    files, shape = options["files"], tuple(options["shape"])
    array = numpy.lib.format.open_memmap(
        os.path.join(target, "0.npy"), "w+", numpy.dtype(options["dtype"]), (len(files), *shape)
    )
    for index, name in enumerate(files):
        array[index] = prepared(os.path.join(source, name), name, options).reshape(shape)
    array.flush()
    return [options["input"]], len(files)


def prepared(path, name, options):
    """One image, as the model wants it."""
    import warnings

    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                if opened.mode in WIDE:
                    raise StepFailed("unsupported", "%s has more than 8 bits a channel; give an .npz file" % name)
                image = ImageOps.exif_transpose(opened).convert("L" if options["order"] == "gray" else "RGB")
    except StepFailed:
        raise
    except Exception as error:
        raise StepFailed("invalid-model", "%s cannot be read: %s" % (name, str(error)[:200])) from error
    return numbers(sized(image, options), options)


def sized(image, options):
    from PIL import Image, ImageOps

    height, width = options["size"]
    # the module's own names up to Pillow 9.0, an enumeration after it
    methods = getattr(Image, "Resampling", Image)
    method = getattr(methods, options["resize"].upper())
    if options["fit"] == "crop":
        return ImageOps.fit(image, (width, height), method)
    return image if image.size == (width, height) else image.resize((width, height), method)


def numbers(image, options):
    """[height, width, channels] or channels first, in the model's type."""
    import numpy

    pixels = numpy.asarray(image)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    pixels = pixels[:, :, ::-1] if options["order"] == "bgr" else pixels
    if options["dtype"] != "uint8":
        mean, std = (numpy.asarray(options[name], numpy.float32) for name in ("mean", "std"))
        pixels = (pixels.astype(numpy.float32) / numpy.float32(options["scale"]) - mean) / std
    pixels = pixels.transpose(2, 0, 1) if options["layout"] == "nchw" else pixels
    return pixels.astype(options["dtype"])


def called(source, target, options):
    """What a person's function gives: a dictionary of arrays with the samples first, or samples one by one, each an
    array (of a model with one input) or a dictionary of them."""
    import numpy

    given = function(source, options["function"])()
    if isinstance(given, dict):
        arrays = {str(name): numpy.asarray(array) for name, array in given.items()}
    else:
        arrays = gathered(given, options["inputs"])
    lengths = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise StepFailed("unsupported", "%s gave no samples, or not as many for each input" % options["function"])
    for index, array in enumerate(arrays.values()):
        numpy.save(os.path.join(target, "%d.npy" % index), array, allow_pickle=False)
    return list(arrays), lengths.pop()


def function(source, name):
    import importlib.util
    import sys

    sys.path.insert(0, os.path.dirname(source))
    spec = importlib.util.spec_from_file_location("samples_of_a_person", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if not callable(found):
        raise StepFailed("unsupported", "%s has no function %s" % (os.path.basename(source), name))
    return found


def gathered(given, inputs):
    """Samples one by one, put together an input."""
    import numpy

    columns = {}
    for sample in given:
        if not isinstance(sample, dict) and len(inputs) != 1:
            raise StepFailed("unsupported", "the model has %d inputs: give a dictionary a sample" % len(inputs))
        for name, array in (sample if isinstance(sample, dict) else {inputs[0]: sample}).items():
            columns.setdefault(str(name), []).append(numpy.asarray(array))
    return {name: numpy.stack(column) for name, column in columns.items()} or {"": numpy.zeros((0,))}
