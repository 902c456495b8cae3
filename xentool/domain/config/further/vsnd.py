"""PV sound cards: each a list of parts, of which the first word says what the others describe.

    vsnd = [ [ "CARD, short-name=Main, sample-formats=s16_le;s8;u32_be",
               "PCM, name=Main", "STREAM, unique-id=0, type=p",
               "STREAM, unique-id=1, type=c, channels-max=2" ] ]

Source: xl.cfg(5); tools/xl/xl_parse.c (parse_vsnd_item and what it calls); public/io/sndif.h (the words);
libxl_types.idl (vsnd_pcm_format).
"""

from __future__ import annotations

from xentool.domain.config.further.entries import entry, number, one_of, pairs_of_text, read_fields, text
from xentool.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.domain.config.further.entries import Fields
    from xentool.domain.config.reader import Reader
    from xentool.values import FrozenMap

FORMATS = (
    "s8", "u8", "s16_le", "s16_be", "u16_le", "u16_be", "s24_le", "s24_be", "u24_le", "u24_be", "s32_le",
    "s32_be", "u32_le", "u32_be", "f32_le", "f32_be", "f64_le", "f64_be", "iec958_subframe_le",
    "iec958_subframe_be", "mu_law", "a_law", "ima_adpcm", "mpeg", "gsm",
)  # fmt: skip

_read_number = number()
_read_format = one_of(*FORMATS)


def _rates(value: str) -> tuple[object, ...]:
    return tuple(_read_number(part) for part in value.split(";") if part)


def _formats(value: str) -> tuple[object, ...]:
    return tuple(_read_format(part) for part in value.split(";") if part)


_PARAMETERS: Fields = {
    "sample-rates": ("params.sample_rates", _rates),
    "sample-formats": ("params.sample_formats", _formats),
    "channels-min": ("params.channels_min", _read_number),
    "channels-max": ("params.channels_max", _read_number),
    "buffer-size": ("params.buffer_size", _read_number),
}
_FIELDS: dict[str, Fields] = {
    "card": {
        **_PARAMETERS,
        "backend": ("backend_domname", text),
        "short-name": ("short_name", text),
        "long-name": ("long_name", text),
    },
    "pcm": {**_PARAMETERS, "name": ("name", text)},
    "stream": {**_PARAMETERS, "unique-id": ("unique_id", text), "type": ("type", one_of("p", "c"))},
}


def read_vsnd(reader: Reader) -> tuple[FrozenMap, ...]:
    """The cards: fields of a libxl_device_vsnd, with ``pcms`` in it, and in those ``streams``.

    Raises:
        ConfigError: a part is none of a card, or belongs to nothing.
    """
    cards = reader.settings["vsnd"].value
    if cards == "":
        return ()
    if not isinstance(cards, list) or not all(isinstance(card, list) for card in cards):
        raise reader.error(
            "vsnd", "must be a list with a list for each card", 'vsnd = [ [ "CARD, …", "PCM, …" ] ]'
        )
    found = []
    for place, card in enumerate(cards):
        assert isinstance(card, list)
        try:
            found.append(_card([part if isinstance(part, str) else "" for part in card]))
        except ConfigError as exc:
            raise reader.error("vsnd", f"card {place}: {exc.reason}", exc.hint) from exc
    return tuple(found)


def _card(parts: list[str]) -> FrozenMap:
    card: dict[str, object] = {}
    pcms: list[dict[str, object]] = []
    streams: list[list[FrozenMap]] = []
    for part in parts:
        kind, _, rest = part.partition(",")
        kind = kind.strip().lower()
        if kind not in _FIELDS:
            raise ConfigError("read", part, f'"{part}" begins with none of CARD, PCM, STREAM')
        fields = read_fields(pairs_of_text(rest), _FIELDS[kind], part)
        if kind == "card":
            card |= fields
            continue
        if kind == "pcm" or not pcms:
            pcms.append(fields if kind == "pcm" else {})
            streams.append([])
        if kind == "stream":
            streams[-1].append(entry(fields))
    return entry(
        card
        | {
            "pcms": tuple(
                entry(pcm | ({"streams": tuple(inner)} if inner else {}))
                for pcm, inner in zip(pcms, streams, strict=True)
            )
        }
        if pcms
        else card
    )
