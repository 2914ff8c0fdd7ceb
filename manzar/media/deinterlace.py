"""Pictures woven from two fields, each of its own moment, to whole ones: FFmpeg's bwdif, one picture per picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
from av.filter import Graph

SETTINGS = "mode=send_frame:parity=auto:deint=interlaced"  # pictures that are not marked as woven pass untouched


def deinterlaced(pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """The same pictures without combs; costs nothing until the first that is marked as interlaced.

    bwdif looks one picture ahead, so when decoding fails the one it still holds is given out before the error goes on.
    """
    graph: Graph | None = None
    form: tuple[int, int, str] | None = None
    try:
        for picture in pictures:
            if graph is None and not picture.interlaced_frame:
                yield picture
                continue
            here = (picture.width, picture.height, picture.format.name)
            if graph is not None and here != form:
                yield from _drained(graph, None)
                graph = None
            if graph is None:
                graph, form = _graph(picture), here
            yield from _drained(graph, picture)
    except (av.error.FFmpegError, OSError, EOFError):
        if graph is not None:
            yield from _drained(graph, None)
        raise
    if graph is not None:
        yield from _drained(graph, None)


def _graph(picture: av.VideoFrame) -> Graph:
    graph = Graph()
    entry = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
    )
    graph.link_nodes(entry, graph.add("bwdif", SETTINGS), graph.add("buffersink")).configure()
    return graph


def _drained(graph: Any, picture: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
    """Push one picture, or None at the end, and take what comes out."""
    graph.push(picture)
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
