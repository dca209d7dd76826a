"""TensorRT's builder configuration: precision flags where there are any, profiles, GPUs, platform, timing cache."""

import os
import warnings

from failure import StepFailed

FLAGS = {"fp16": "FP16", "bf16": "BF16", "int8": "INT8"}
CACHE = "model.timing"
TYPES_ONLY = "its precision is what the types in the graph say"


def configure(library, builder, config, network, options):
    """Set what was asked for; returns what was read back from the configuration."""
    told = precision(library, config, network, options)
    told["profile"] = profile(builder, config, network, options)
    told["compute_capabilities"] = choose_gpus(library, config, options.get("gpu") or [])
    choose_platform(library, config, options.get("platform"))
    return told


def choose_platform(library, config, wanted):
    """Build for another platform than this one; TensorRT for RTX then logs an error and returns bytes."""
    if not wanted:
        return
    if not hasattr(library, "RuntimePlatform"):
        raise StepFailed("unsupported", "this TensorRT builds for the platform it runs on alone")
    config.runtime_platform = getattr(library.RuntimePlatform, wanted)


def precision(library, config, network, options):
    """The builder's flags: TF32 off where float32 was asked for; the type's own flag where precision comes by flag, or
    where the release wants one for what the graph states already."""
    from adapters.tensorrt_network import computed_in, stated

    wanted, told = options.get("precision") or "fp32", {}
    if wanted == "fp32":
        config.clear_flag(library.BuilderFlag.TF32)
    told["tf32"] = "on" if config.get_flag(library.BuilderFlag.TF32) else "off"
    in_graph = stated(network, computed_in(network))
    for name in sorted({wanted, in_graph} - {"fp32"}):
        flag = getattr(library.BuilderFlag, FLAGS[name], None)
        weak = not strongly_typed(library, network)
        if flag is None and name != in_graph:
            raise StepFailed("unsupported", "this release has no builder flag %s: %s" % (FLAGS[name], TYPES_ONLY))
        if flag is not None and weak and (name == in_graph or name != "int8"):
            config.set_flag(flag)
            told.update(precision=name, by="builder flag %s: layers may stay float32" % FLAGS[name])
    return told


def strongly_typed(library, network):
    """Whether the network keeps to its own types."""
    flag = getattr(library.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return flag is not None and network.get_flag(flag)


def profile(builder, config, network, options):
    """One optimisation profile where a dimension is left open: the range asked for, else the size, else 1; and where an
    input's numbers decide on shapes, with these."""
    chosen, told = builder.create_optimization_profile(), []
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if getattr(tensor, "is_shape_tensor", False):
            told.append(set_numbers(chosen, tensor, options.get("values") or {}))
        elif any(size < 0 for size in tensor.shape):
            told.append(set_sizes(chosen, tensor, options))
    if told and config.add_optimization_profile(chosen) < 0:
        raise StepFailed("engine-error", "the engine refused the profile for " + "; ".join(told))
    return "; ".join(told) or "no open sizes"


def set_sizes(chosen, tensor, options):
    """Set the least, usual and largest shape of an input; which these are, in words."""
    one = (options.get("shapes") or {}).get(tensor.name) or [1 if size < 0 else size for size in tensor.shape]
    least, usual, most = (options.get("ranges") or {}).get(tensor.name) or (one, one, one)
    chosen.set_shape(tensor.name, least, usual, most)
    return "%s %s" % (tensor.name, ":".join("x".join(map(str, size)) for size in (least, usual, most)))


def set_numbers(chosen, tensor, values):
    """Set what stands in an input that decides on shapes (of Reshape, Tile, Pad …): the profile is of its numbers.
    https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/python-api/infer/Core/OptimizationProfile.html"""
    known = values.get(tensor.name)
    if known is None:
        what = "input %s decides on the shapes of others, and the engine is built for its numbers, which nobody said"
        raise StepFailed("unsupported", what % tensor.name)
    chosen.set_shape_input(tensor.name, known, known, known)
    return "%s holds %s" % (tensor.name, known)


def choose_gpus(library, config, wanted):
    """Build for the named compute capabilities ("8.9"). None named: what the library builds for by itself, for RTX
    Ampere and later but not Turing: https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/cpu-engines.html"""
    if not wanted:
        return "the library's default"
    listed = capabilities(library)
    if not listed:
        return "that of the GPU here: this TensorRT builds for no other"
    missing = [name for name in wanted if name not in listed]
    if missing:
        raise StepFailed("no-device", "compute capability %s is not among %s" % (missing, sorted(listed)))
    config.num_compute_capabilities = len(wanted)
    for index, name in enumerate(wanted):
        config.set_compute_capability(listed[name], index)
    return " ".join(wanted)


def capabilities(library):
    """What the library's enum names SM89, under the name 8.9; nothing where it builds for the GPU here alone."""
    members = getattr(getattr(library, "ComputeCapability", None), "__members__", {})
    return {name[2:-1] + "." + name[-1]: value for name, value in members.items() if name.startswith("SM")}


def open_timing_cache(config, folder, known):
    """The timing cache that the build shall use, from the bytes kept; None where it is a no-op."""
    data = b""
    if known:
        with open(os.path.join(folder, known), "rb") as stream:
            data = stream.read()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        cache = config.create_timing_cache(data)
        config.set_timing_cache(cache, False)
    return None if any("no-op" in str(each.message) for each in said) else cache


def keep_timing_cache(config, cache, target, artifacts, options):
    """Write the timing cache beside the plan, unless it is only to be read; what was done, in words."""
    if cache is None:
        return "a no-op in this release"
    if options.get("read_only"):
        return "read, not written (CI)"
    with open(os.path.join(target, CACHE), "wb") as stream:
        stream.write(bytes(config.get_timing_cache().serialize()))
    artifacts.append(CACHE)
    return "kept"
