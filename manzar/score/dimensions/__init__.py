"""VBench's sixteen dimensions, one file each, in the order of its paper."""

from __future__ import annotations

from manzar.score.dimension import Dimension
from manzar.score.dimensions import (
    aesthetic_quality,
    appearance_style,
    background_consistency,
    color,
    dynamic_degree,
    human_action,
    imaging_quality,
    motion_smoothness,
    multiple_objects,
    object_class,
    overall_consistency,
    scene,
    spatial_relationship,
    subject_consistency,
    temporal_flickering,
    temporal_style,
)

OFFICIAL: dict[str, Dimension] = {
    module.DIMENSION.name: module.DIMENSION
    for module in (
        subject_consistency,
        background_consistency,
        temporal_flickering,
        motion_smoothness,
        dynamic_degree,
        aesthetic_quality,
        imaging_quality,
        object_class,
        multiple_objects,
        human_action,
        color,
        spatial_relationship,
        scene,
        appearance_style,
        temporal_style,
        overall_consistency,
    )
}
