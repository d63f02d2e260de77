#!/usr/bin/env python3
"""Serves one video over RTSP to any number of clients, as a camera would: for the `camera_load` example.

    scripts/bench-rtsp.py kitchen.mkv [port, default any]

GStreamer's own RTSP server in a process of its own, so that what serving costs is not counted as the product's. All
clients share one pass through the file. Prints its port, then serves until standard input ends.
"""

import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


def main() -> None:
    video = sys.argv[1]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[2] if len(sys.argv) > 2 else "0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f"( filesrc location={video} ! matroskademux ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 )"
    )
    factory.set_shared(True)
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    loop = GLib.MainLoop()

    def end_with_input() -> None:
        sys.stdin.read()
        loop.quit()

    threading.Thread(target=end_with_input, daemon=True).start()
    loop.run()


main()
