"""Whether the server's own books are in order, and what is in them."""

from __future__ import annotations

from xentool.store.paths import child_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.store.server import Server


def check_tree(server: Server) -> list[str]:
    """What is wrong with the tree: nothing, unless the server has a fault."""
    nodes = server.tree.nodes
    faults = []
    reached = {b"/", *server.plays.special_nodes}
    stack = [b"/"]
    while stack:
        path = stack.pop()
        for leaf in nodes[path].names():
            child = child_of(path, leaf)
            if child not in nodes:
                faults.append(f"{child.decode()} is listed, and is not there")
            elif child in reached:
                faults.append(f"{child.decode()} is listed twice")
            else:
                reached.add(child)
                stack.append(child)
    faults += [f"{path.decode()} is there, and is not listed" for path in nodes.keys() - reached]
    owned: dict[int, int] = {}
    for node in nodes.values():
        owned[node.owner] = owned.get(node.owner, 0) + 1
    for domain in server.domains.all():
        owns = owned.get(domain.domid, 0)
        if domain.nodes != owns:
            faults.append(f"domain {domain.domid} is charged {domain.nodes} nodes, and owns {owns}")
    return faults


def memory_report(server: Server) -> list[str]:
    """What the store holds, a line for each thing: for CONTROL ``memreport``."""
    nodes = server.tree.nodes
    held = sum(node.size_bytes + len(path) for path, node in nodes.items())
    connections = list(server.connections.values())
    watches = sum(len(connection.watches) for connection in connections)
    whole = (
        f"store: {len(nodes):,} nodes of {held:,} bytes, {len(connections):,} connections,"
        f" {watches:,} watches, {server.rate.open_transactions:,} transactions"
    )
    lines = [whole]
    lines += [
        f"connection {connection.serial} (d{connection.domid}): {len(connection.watches):,} watches,"
        f" {len(connection.transactions):,} transactions, {connection.queued_bytes:,} bytes to be sent"
        for connection in connections
    ]
    lines += [
        f"domain {domain.domid}: {domain.memory:,} bytes (at most {domain.peak_memory:,}),"
        f" {domain.nodes:,} nodes"
        for domain in server.domains.all()
    ]
    return lines
