"""A disk that is full, for one process and whatever it starts, without rights to mount one.

The kernel asks us before each write to a file (seccomp user notification): while there is no room, the process gets
ENOSPC from the kernel, as from a real disk, and otherwise the write goes on. `python small_disk.py SOCKET COMMAND …`
installs the filter in itself, hands its listener over by the socket, and becomes the command.
"""

import array
import ctypes
import errno
import fcntl
import math
import os
import platform
import select
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Final, Self

_MACHINES: Final = {
    "x86_64": (0xC000003E, 317, (18, 77, 285, 296)),
    "aarch64": (0xC00000B7, 277, (68, 46, 47, 70)),
}
"""The kernel's name of it, and its numbers of seccomp, and of pwrite64, ftruncate, fallocate and pwritev: how SQLite
writes and lets files grow."""
_PR_SET_NO_NEW_PRIVS: Final = 38
_SET_MODE_FILTER: Final = 1
_NEW_LISTENER: Final = 1 << 3
_ALLOW: Final = 0x7FFF0000
_ASK: Final = 0x7FC00000
_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_CONTINUE: Final = 1
_NOTICE: Final = struct.Struct("=QIIiIQ6Q")
_ANSWER: Final = struct.Struct("=QqiI")


class SmallDisk:
    """There is room for so many more writes of the processes begun under `wrapper`; then they fail with ENOSPC."""

    def __init__(self, folder: Path) -> None:
        self.room = math.inf
        self.refused = 0
        self._path = folder / "disk"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._closing, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="small-disk")

    @property
    def full(self) -> bool:
        return self.room < 1

    @full.setter
    def full(self, full: bool) -> None:
        self.room = 0 if full else math.inf

    @property
    def wrapper(self) -> tuple[str, ...]:
        """Put this before a command."""
        return (sys.executable, __file__, str(self._path))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.close()
        self._thread.join(10)
        self._listener.close()
        self._closing.close()

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._closing, select.POLLIN | select.POLLHUP)
        filters: set[int] = set()
        try:
            while True:
                for descriptor, event in poll.poll():
                    if descriptor == self._closing.fileno():
                        return
                    if descriptor == self._listener.fileno():
                        filters.add(new := self._accept())
                        poll.register(new, select.POLLIN)
                    elif event & select.POLLIN:
                        self._answer(descriptor)
                    else:  # all its processes have ended
                        poll.unregister(descriptor)
                        filters.remove(descriptor)
                        os.close(descriptor)
        finally:
            for descriptor in filters:
                os.close(descriptor)

    def _accept(self) -> int:
        with self._listener.accept()[0] as connection:
            _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_LEN(4))
            (listener,) = array.array("i", ancillary[0][2])
            connection.send(b".")
            return listener

    def _answer(self, listener: int) -> None:
        notice = bytearray(_NOTICE.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, notice)
            asked = _NOTICE.unpack(notice)[0]
            refuse = self.room < 1
            self.room -= not refuse
            answer = (asked, 0, -errno.ENOSPC, 0) if refuse else (asked, 0, 0, _CONTINUE)
            fcntl.ioctl(listener, _SEND, _ANSWER.pack(*answer))
            self.refused += refuse
        except FileNotFoundError:
            pass  # it was killed meanwhile


def _become(path: str, command: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    machine, seccomp, writes = _MACHINES[platform.machine()]
    filters = [(0x20, 0, 0, 4), (0x15, 0, len(writes) + 1, machine), (0x20, 0, 0, 0)]
    filters += [(0x15, len(writes) - at, 0, number) for at, number in enumerate(writes)]
    filters += [(0x06, 0, 0, _ALLOW), (0x06, 0, 0, _ASK)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in filters))
    program = struct.pack("@HP", len(filters), ctypes.addressof(code))
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    listener = _checked(libc.syscall(seccomp, _SET_MODE_FILTER, _NEW_LISTENER, program))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
        connection.recv(1)
    os.close(listener)
    os.execv(command[0], command)


def _checked(answer: int) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


if __name__ == "__main__":
    _become(sys.argv[1], sys.argv[2:])
