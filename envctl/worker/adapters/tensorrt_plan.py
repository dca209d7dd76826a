"""What a built plan tells of itself: layers after fusion, from the engine or, without a GPU, from its text."""

import re

STATEMENT = re.compile(rb'layers="([^"]{1,100000})"')
FUSED = b"\x1f"


def layers(library, logger, plan):
    """How many layers there are after fusion and where the number is from."""
    before = len(logger.errors)
    engine = library.Runtime(logger).deserialize_cuda_engine(plan)
    del logger.errors[before:]  # no driver: an error of looking, not of the build
    if engine is not None:
        return {"layers_after_fusion": str(engine.num_layers), "layers_from": "the engine"}
    return from_text(plan)


def from_text(plan):
    """Best effort: TensorRT for RTX writes the layers that each kernel stands for into the plan, which is documented
    nowhere; shape arithmetic and synchronisation are among them."""
    found = [text.split(FUSED) for text in STATEMENT.findall(plan)]
    if not found:
        return {"layers_after_fusion": "not told without a GPU"}
    several = sum(1 for each in found if len(each) > 1)
    return {
        "layers_after_fusion": "%d statements, %d of several layers" % (len(found), several),
        "layers_from": "best effort: text inside the plan, not documented",
    }
