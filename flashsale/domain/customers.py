"""What a customer id is: one customer has one id, however it was typed."""

import unicodedata

LONGEST_ID = 128
"""The most characters of an id, in its normal form."""

# Nobody sees or types these, but they come along when text is copied. The joiners U+200C and U+200D
# are not among them, as words of Persian and of Indian languages differ by them.
INVISIBLE = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062"
    "\u2063\u2064\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f\ufeff"
)
"""The characters that do not count in an id."""

_WITHOUT = dict.fromkeys(map(ord, INVISIBLE))


def normal_customer_id(text: str, *, casefold: bool = False) -> str:
    """Return the id that counts: without space around it, in NFC, and in one case if `casefold`.

    Invisible characters, such as a zero-width space or the mark of a direction, do not count. The
    result may be empty or longer than the text. Limits, keys and the ledger compare ids
    character by character, so that spellings which look the same must be the same text
    (Unicode Standard Annex 15).
    """
    if text.isascii():
        return text.strip().lower() if casefold else text.strip()
    text = text.translate(_WITHOUT)
    if casefold:
        # Case-folding alone may leave text that is not normal, and so may what it is applied to
        # (the canonical caseless match of The Unicode Standard, section 3.13).
        text = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", text).strip()
