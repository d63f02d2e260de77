"""An RTSP camera made by others: GStreamer's RTSP server with a drawn picture.

Usage: rtsp_server.py SECONDS_BETWEEN_KEY_FRAMES [USER PASSWORD]

Serves /h264 and /h265 over TCP and UDP, and prints its port once it listens. It asks for digest sign-in when
user and password are given. It ends when its standard input is closed, so that it never outlives its test.
"""

import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

FRAMES_PER_SECOND = 10
ROLE = "viewer"


def launch(encoder: str) -> str:
    return (
        "( videotestsrc is-live=true pattern=ball "
        f"! video/x-raw,width=320,height=180,framerate={FRAMES_PER_SECOND}/1,format=I420 ! {encoder} )"
    )


def encoders(group: int) -> dict[str, str]:
    return {
        "/h264": f"x264enc tune=zerolatency speed-preset=ultrafast key-int-max={group} bitrate=500 "
        "! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96",
        # Without open-gop=0 its key frames but the first are CRA pictures, as with many cameras.
        "/h265": f"x265enc tune=zerolatency speed-preset=ultrafast key-int-max={group} bitrate=500 "
        "option-string=open-gop=1:scenecut=0:log-level=none "
        "! h265parse config-interval=-1 ! rtph265pay name=pay0 pt=96",
    }


def permit(factory: GstRtspServer.RTSPMediaFactory) -> None:
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role(ROLE, "media.factory.access", True)
    permissions.add_permission_for_role(ROLE, "media.factory.construct", True)
    factory.set_permissions(permissions)


def sign_in(server: GstRtspServer.RTSPServer, user: str, password: str) -> None:
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    auth.add_digest(user, password, token)
    server.set_auth(auth)


def main() -> None:
    seconds, *secret = sys.argv[1:]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    for path, encoder in encoders(int(seconds) * FRAMES_PER_SECOND).items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch(encoder))
        if secret:
            permit(factory)
        server.get_mount_points().add_factory(path, factory)
    if secret:
        sign_in(server, *secret)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    loop = GLib.MainLoop()

    def end_with_input() -> None:
        sys.stdin.read()
        loop.quit()

    threading.Thread(target=end_with_input, daemon=True).start()
    loop.run()


main()
