"""Send frames as they are given, in hex: ``frames.py INTERFACE TIMES FRAME…``; says how many went out.

Sent below the guest's own addresses, ARP and routes: nothing of its kernel corrects them.
"""

from __future__ import annotations

import socket
import sys


def main() -> None:
    interface, times, *frames = sys.argv[1:]
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind((interface, 0))
    sent = 0
    for _ in range(int(times)):
        for frame in frames:
            sender.send(bytes.fromhex(frame))
            sent += 1
    print("sent", sent)


main()
