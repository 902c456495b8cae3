"""YAML configs: the same keys as xl.cfg, in YAML's own types.

    name: web
    memory: 512MiB            # or a number of MiB
    vcpus: 2
    cpus: ["0-3", "4"]        # or one text for all vcpus
    kernel: /boot/vmlinuz
    cmdline: root=/dev/xvda1 ro
    vif:                      # xl's text, or a mapping of the same keys
      - bridge=xenbr0
      - {bridge: xenbr1, lock: true, ips: [10.0.0.5, "2001:db8::5"]}

A document is one mapping; the entries of its lists may be mappings. ``key:`` without a value is
as if the key were not there. What YAML would turn into something else than it looks like (dates,
floats, 12:30:45, on and off) is an error that asks for quotes, and so are duplicate keys, which
YAML lets pass.

PyYAML is imported only when there is a YAML config.
"""

from __future__ import annotations

from xentool.domain.config.lexer import Text, parse_number
from xentool.domain.config.parser import MAX_DEPTH, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from yaml import MappingNode, Node, ScalarNode

    from xentool.domain.config.parser import Value
    from xentool.errors import ConfigError

TAG = "tag:yaml.org,2002:"


def parse_yaml(text: str, name: str) -> dict[str, Setting]:
    """The settings of a YAML text, by key. `name` is the file's, for messages.

    Raises:
        ConfigError: with line and column; the line itself is in `detail`.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    source = Text(text, name)
    try:
        # The C loader composes by recursion, unguarded: what nests too deep must not reach it.
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH + 1:
                at = event.start_mark.index if event.start_mark else 0
                raise source.error(at, f"lists nest at most {MAX_DEPTH} deep")
        root = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        reason = " ".join(part for part in (exc.context, exc.problem) if part)
        hint = "YAML is indented with spaces, not tabs" if "\t" in text else ""
        raise source.error(min(mark.index, len(text)) if mark else 0, reason, hint) from exc
    except yaml.YAMLError as exc:  # a character that YAML does not allow
        at = getattr(exc, "position", 0)
        raise source.error(at if 0 <= at <= len(text) else 0, str(exc).splitlines()[0]) from exc
    if root is None:
        return {}
    return _Composer(source).mapping(root)


class _Composer:
    """Turns YAML's nodes into settings."""

    __slots__ = ("_seen", "_source")

    def __init__(self, source: Text) -> None:
        self._source = source
        self._seen: set[int] = set()

    def error(self, node: Node, reason: str, hint: str = "") -> ConfigError:
        return self._source.error(node.start_mark.index, reason, hint)

    def mapping(self, root: Node) -> dict[str, Setting]:
        from yaml import MappingNode, ScalarNode

        if not isinstance(root, MappingNode):
            raise self.error(root, "a config is a mapping: lines of key: value", "for example: name: web")
        settings: dict[str, Setting] = {}
        for key, value in root.value:
            if not isinstance(key, ScalarNode) or key.tag != f"{TAG}str":
                raise self.error(key, "a key must be text")
            if key.value in settings:
                first = settings[key.value].where
                raise self.error(key, f"{key.value} is given twice (first in {first})", "keep one of them")
            mark = key.start_mark
            where = f"line {mark.line + 1}, column {mark.column + 1}"
            if value.tag == f"{TAG}null":
                continue
            settings[key.value] = Setting(self._value(value, 0), where)
        return settings

    def _value(self, node: Node, depth: int) -> Value:
        from yaml import MappingNode, ScalarNode, SequenceNode

        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if isinstance(node, MappingNode) and depth:
            return self._entry(node, depth)
        if not isinstance(node, SequenceNode):
            raise self.error(node, "a value must be text, a number, true or false, or a list of them")
        if depth == MAX_DEPTH:
            raise self.error(node, f"lists nest at most {MAX_DEPTH} deep")
        self._once(node, "a list")
        return [self._value(item, depth + 1) for item in node.value]

    def _entry(self, node: MappingNode, depth: int) -> Value:
        """A list's entry that is a mapping: a device."""
        from yaml import ScalarNode

        if depth == MAX_DEPTH:
            raise self.error(node, f"lists nest at most {MAX_DEPTH} deep")
        self._once(node, "a mapping")
        entry: dict[str, Value] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or key.tag != f"{TAG}str":
                raise self.error(key, "a key must be text")
            if key.value in entry:
                raise self.error(key, f"{key.value} is given twice", "keep one of them")
            if value.tag != f"{TAG}null":
                entry[key.value] = self._value(value, depth + 1)
        return entry

    def _once(self, node: Node, what: str) -> None:
        if id(node) in self._seen:
            raise self.error(node, f"{what} cannot be repeated by an alias (*)", "write it out")
        self._seen.add(id(node))

    def _scalar(self, node: ScalarNode) -> Value:
        text: str = node.value
        kind = node.tag.removeprefix(TAG)
        if kind == "str":
            return text
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "int":
            number = parse_number(text)
            if number is not None:
                return number
        what = {"float": "a number with a fraction", "timestamp": "a date", "bool": "yes or no"}.get(
            kind, kind
        )
        hint = f'if it is text, quote it: "{text}"'
        if kind == "bool":
            hint += "; if not, write true or false"
        raise self.error(node, f"YAML reads {text} as {what}", hint)
