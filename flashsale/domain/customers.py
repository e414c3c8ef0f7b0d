"""What a customer id is: one customer has one id, however it was typed."""

import unicodedata

LONGEST_ID = 128
"""The most characters of an id."""


def normal_customer_id(text: str, *, casefold: bool = False) -> str:
    """Return the id that counts: without space around it, in NFC, and in one case if `casefold`.

    The result may be empty or longer than the text. Limits, keys and the ledger compare ids
    character by character, so that spellings which look the same must be the same text
    (Unicode Standard Annex 15).
    """
    if text.isascii():
        return text.strip().lower() if casefold else text.strip()
    if casefold:
        # Case-folding alone may leave text that is not normal, and so may what it is applied to
        # (the canonical caseless match of The Unicode Standard, section 3.13).
        text = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", text).strip()
