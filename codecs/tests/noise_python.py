"""The other side of tests/noise_python.rs: Noise as the package noiseprotocol speaks it.

Connects to a port of this machine, runs a handshake in frames of a 16-bit length, sends the handshake's
hash in the same segment as its last message or, if that isn't its own, right behind it, and returns what
comes, byte by byte from the end to the beginning, until the other side closes.
"""

import argparse
import socket
import struct

from noise.connection import Keypair, NoiseConnection

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("role", choices=["initiator", "responder"])
parser.add_argument("name")
parser.add_argument("--static", type=bytes.fromhex)
parser.add_argument("--remote", type=bytes.fromhex)
parser.add_argument("--psk", type=bytes.fromhex, action="append", default=[])
parser.add_argument("--prologue", default="")
parser.add_argument("--payload", default="")
parser.add_argument("--rekey-every", type=int, default=0)
args = parser.parse_args()

noise = NoiseConnection.from_name(args.name.encode())
if args.role == "initiator":
    noise.set_as_initiator()
else:
    noise.set_as_responder()
noise.set_prologue(args.prologue.encode())
if args.psk:
    noise.set_psks(psks=args.psk)
if args.static:
    noise.set_keypair_from_private_bytes(Keypair.STATIC, args.static)
if args.remote:
    noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, args.remote)
noise.start_handshake()

stream = socket.create_connection(("127.0.0.1", args.port))
stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
incoming = stream.makefile("rb")


def frame(message):
    return struct.pack(">H", len(message)) + message


def next_frame():
    prefix = incoming.read(2)
    if len(prefix) < 2:
        return None
    return incoming.read(struct.unpack(">H", prefix)[0])


sent = received = 0


def seal(message):
    global sent
    sealed = frame(noise.encrypt(message))
    sent += 1
    if args.rekey_every and sent % args.rekey_every == 0:
        noise.rekey_outbound_cipher()
    return sealed


def opened(message):
    global received
    message = noise.decrypt(message)
    received += 1
    if args.rekey_every and received % args.rekey_every == 0:
        noise.rekey_inbound_cipher()
    return message


mine = args.role == "initiator"
outgoing = b""
while not noise.handshake_finished:
    if mine:
        outgoing = frame(noise.write_message(args.payload.encode()))
        if not noise.handshake_finished:
            stream.sendall(outgoing)
            outgoing = b""
    else:
        print("payload", bytes(noise.read_message(next_frame())).decode())
    mine = not mine

stream.sendall(outgoing + seal(noise.get_handshake_hash()))
while (message := next_frame()) is not None:
    stream.sendall(seal(bytes(opened(message))[::-1]))
