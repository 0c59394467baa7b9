"""The vocabulary of synthetic speakers: 60 words, the phrases they make, and their phones.

Phones are ARPAbet without stress. Each word has one pronunciation: that of espeak-ng's American English, mapped phone
by phone.
"""

from __future__ import annotations

import numpy as np

from raysearch.errors import WorkError

WORDS = {
    kind: words.split()
    for kind, words in {
        "digit": "ZERO ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE",
        "letter": "ALPHA BRAVO CHARLIE DELTA ECHO FOXTROT GOLF HOTEL INDIA JULIET KILO LIMA MIKE NOVEMBER OSCAR PAPA "
        "QUEBEC ROMEO SIERRA TANGO UNIFORM VICTOR WHISKEY XRAY YANKEE ZULU",
        "colour": "RED GREEN BLUE YELLOW BLACK WHITE ORANGE PURPLE",
        "verb": "OPEN CLOSE START STOP TURN MOVE TAKE DROP",
        "thing": "DOOR WINDOW LIGHT BOX LAMP TABLE ENGINE RADIO",
    }.items()
}
PHRASES = (
    ("verb", "colour", "thing"),
    ("verb", "thing", "digit"),
    ("colour", "thing"),
    ("letter", "letter", "digit"),
    ("letter", "digit", "digit"),
    ("digit", "digit", "digit"),
)
# Each entry is a mnemonic of espeak-ng, then its phones. `;` marks a glide that dictionaries do not write, so it has
# none. `e@` and `i@` stand before an r that has its own mnemonic.
_ARPABET_ROWS = (
    "0 AA|3 ER|3: ER|@ AH|@L AH L|A: AA|A@ AA R|E EH|I IH|I# IH|I2 IH|O2 AO|O@ AO R|V AH|a AE|a# AH|aI AY|e@ EH|eI EY|"
    "i IY|i: IY|i@ IH|o@ AO R|oU OW|u: UW|;|N NG|T TH|b B|d D|dZ JH|f F|g G|h HH|j Y|k K|l L|m M|n N|p P|r R|s S|t T|"
    "t2 T|tS CH|v V|w W|z Z"
)
_ARPABET = {mnemonic: phones for mnemonic, *phones in (row.split() for row in _ARPABET_ROWS.split("|"))}


def draw_sentence(most_words: int, rng: np.random.Generator) -> str:
    """Random phrases in a row, cut off after 2 to `most_words` words."""
    length = int(rng.integers(2, most_words + 1))
    words: list[str] = []
    while len(words) < length:
        phrase = PHRASES[rng.integers(len(PHRASES))]
        words += [WORDS[kind][rng.integers(len(WORDS[kind]))] for kind in phrase]
    return " ".join(words[:length])


def phones(word: str, mnemonics: list[str]) -> str:
    """The phones of a word for which espeak-ng gives these mnemonics.

    Raises: WorkError if one of them is not known here.
    """
    unknown = [mnemonic for mnemonic in mnemonics if mnemonic not in _ARPABET]
    if unknown:
        raise WorkError(f"espeak-ng says {mnemonics} for {word}; no ARPAbet phone is known for {unknown}")
    return " ".join(phone for mnemonic in mnemonics for phone in _ARPABET[mnemonic])
