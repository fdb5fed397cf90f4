"""What an address, a telephone number, a card … looks like, and what proves that it is one."""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

Proof = Callable[[str, str, str], bool]
# What candidates are made of is ASCII: RE2's \\d and the patterns' own letters.
_ONLY_DIGITS = {code: None for code in range(128) if not chr(code).isdigit()}
_AS_FORM = {code: "9" if chr(code).isdigit() else "A" for code in range(128) if chr(code).isalnum()}
MASK = "\x1f"  # stands where an earlier kind was found
_PLACEHOLDER = re.compile(rf"(?s)^.*(?:[A-Z]\]|{MASK})")
_GROUP = re.compile(r"[^ ./()\-]+")
_TRIMMED = 4
_NEAR = 32  # characters before a number in which a word may say what it is


@dataclass(frozen=True, slots=True)
class Detector:
    """A candidate's shape in RE2 syntax, and its proof.

    Args:
        kind: becomes the placeholder.
        first: the shape of `FIRST_PASS` that every candidate contains.
        pattern: group 1, where there is one, is what is replaced.
        proof: of (candidate, up to 32 characters before it in lower case, the character after).
        divisible: numbers may run into each other ("4111 1111 1111 1111 123"), so a candidate
            may be several; up to three groups at either end are tried without.
        hopeless: of (candidate, what stands before it): surely no part of it can be proved. Most
            numbers are dates, prices and versions, which this spares all those trials.
    """

    kind: str
    first: str
    pattern: str
    proof: Proof
    divisible: bool = False
    hopeless: Callable[[str, str], bool] | None = None

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the text holds one."""
        for start, end in _candidates(self.pattern, text):
            if self.hopeless is not None and self.hopeless(
                text[start:end], text[max(0, start - _NEAR) : start].lower()
            ):
                continue
            if self.divisible:
                yield from self._parts(text, start, end)
            elif self._proves(text, start, end):
                yield start, end

    def _parts(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        groups = [(start + m.start(), start + m.end()) for m in _GROUP.finditer(text[start:end])]
        count = len(groups)
        for left in range(min(_TRIMMED, count)):
            begin = start if left == 0 else groups[left][0]
            for right in range(count - 1, max(left, count - _TRIMMED) - 1, -1):
                if self._proves(text, begin, groups[right][1]):
                    yield begin, groups[right][1]
                    if right + 1 < count:
                        yield from self._parts(text, groups[right + 1][0], end)
                    return

    def _proves(self, text: str, start: int, end: int) -> bool:
        # What a placeholder says ("[PHONE]") is no word of the text, and nothing beyond it may
        # count: redacting twice must be redacting once.
        before = text[max(0, start - _NEAR) : start]
        if "]" in before or MASK in before:
            before = _PLACEHOLDER.sub("", before)
        return self.proof(text[start:end], before.lower(), text[end : end + 1])


def _candidates(pattern: str, text: str) -> Iterator[tuple[int, int]]:
    # In ASCII a byte is a character, which saves counting them: half of what a match costs.
    plain = text.isascii()
    found, group = _compiled(pattern.encode() if plain else pattern)
    for match in found.finditer(text.encode() if plain else text):
        yield match.span(group)


@cache
def _compiled(pattern: str | bytes) -> tuple[Any, int]:
    """The pattern, and the group that is replaced."""
    import re2

    options = re2.Options()
    options.log_errors = False
    # In RE2's usual 8 MB the automaton of repeats within repeats does not fit, and it falls back
    # to one that is ten times slower.
    options.max_mem = 64 << 20
    found = re2.compile(pattern, options)
    return found, min(found.groups, 1)


# ── proofs ───────────────────────────────────────────────────────────────────────────────────


def _always(_candidate: str, _before: str, _after: str) -> bool:
    return True


def _stands_alone(before: str, after: str) -> bool:
    """No digit, letter or decimal point runs on into the candidate."""
    decimal = before.endswith(".") and before[-2:-1].isdigit()
    return not (before[-1:].isalnum() or before.endswith("_") or after.isalnum() or decimal)


def _digits(text: str) -> str:
    return text.translate(_ONLY_DIGITS)


# First digits of the card networks and the lengths that they use (ISO/IEC 7812).
_NETWORKS: tuple[tuple[range, tuple[int, ...]], ...] = (
    # No Visa card of 13 digits is in use; many an article's number would pass for one.
    (range(4000, 5000), (16, 19)),
    (range(5100, 5600), (16,)),
    (range(2221, 2721), (16,)),
    (range(3400, 3500), (15,)),
    (range(3700, 3800), (15,)),
    (range(3000, 3100), (14, 16, 19)),
    (range(3500, 3600), (16, 17, 18, 19)),
    (range(3600, 3700), (14, 16, 19)),
    (range(3800, 4000), (14, 16, 19)),
    (range(5000, 5100), (13, 14, 15, 16, 17, 18, 19)),
    (range(5600, 5900), (13, 14, 15, 16, 17, 18, 19)),
    (range(6000, 7000), (16, 17, 18, 19)),
)


def _is_card(candidate: str, before: str, after: str) -> bool:
    from stdnum import luhn

    digits = _digits(candidate)
    if not _stands_alone(before, after) or before.endswith("+") or len(set(digits)) < 2:
        return False
    first = int(digits[:4])
    network = any(first in numbers and len(digits) in sizes for numbers, sizes in _NETWORKS)
    return network and luhn.is_valid(digits)


def _is_iban(candidate: str, before: str, after: str) -> bool:
    from stdnum import iban

    return _stands_alone(before, after) and iban.is_valid(candidate, check_country=False)


def _is_ipv4(candidate: str, before: str, after: str) -> bool:
    if not _stands_alone(before, after) or _NO_ADDRESS.search(before):
        return False
    return _names_a_machine(candidate)


def _is_ipv6(candidate: str, before: str, after: str) -> bool:
    # '::' is C++ and '12:30:45' a time; an address of a machine has more and a digit.
    if candidate.count(":") < 3 or not any(character.isdigit() for character in candidate):
        return False
    return not before[-1:].isalnum() and not after.isalnum() and _names_a_machine(candidate)


def _names_a_machine(candidate: str) -> bool:
    try:
        address = ipaddress.ip_address(candidate)
    except ValueError:
        return False
    mask = candidate.startswith("255.")
    return not (address.is_loopback or address.is_unspecified or address.is_multicast or mask)


# "phone" also ends a word (smartphone); the others begin one: "whitelist" and "context" are none.
_PHONE_WORD = re.compile(
    r"phone|(?<![a-z])(?:tel|call|dial|ring me|reach me|mobile|cell|whatsapp|fax|handy|sms|text)"
)
# Right before a number: what else it counts.
_OTHER_NUMBER = re.compile(
    r"(?:ticket|order|case|invoice|ref(?:erence)?|tracking|article|item|part|serial|account|batch"
    r"|sku|isbn|ean)s?(?: (?:number|no\.?|id))?[:# ]*$"
)
_NO_ADDRESS = re.compile(
    r"(?:version|driver|section|chapter|clause|release|firmware|build|step|§|v)\s*$"
)
_PHONE_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "IN", "BR", "CN", "JP", "AU")


def _is_phone(candidate: str, before: str, after: str) -> bool:
    in_a_name = before.endswith(("/", "=", "#")) and not candidate.startswith("+")
    digits = _digits(candidate)
    if in_a_name or not _stands_alone(before, after):
        return False
    if not 7 <= len(digits) <= 15:
        return False
    if _OTHER_NUMBER.search(before):
        return False
    if candidate.startswith(("+", "00")):
        return _in_numbering_plan("+" + digits.removeprefix("00"), None)
    if _PHONE_WORD.search(before):
        return any(_in_numbering_plan(candidate, region) for region in _PHONE_REGIONS)
    groups = [len(part) for part in candidate.translate(_SEPARATORS).split()]
    return groups in ([3, 3, 4], [1, 3, 3, 4]) and _in_numbering_plan(candidate, "US")


def _no_phone(candidate: str, before: str) -> bool:
    if "+" in candidate or _PHONE_WORD.search(before):
        return False
    parts = candidate.translate(_SEPARATORS).split()
    if any(part.startswith("00") for part in parts):
        return False
    sizes = [len(part) for part in parts]
    return all(sizes[at : at + 3] != [3, 3, 4] for at in range(len(sizes) - 2))


_SEPARATORS = str.maketrans("()-./", "     ")


def _in_numbering_plan(number: str, region: str | None) -> bool:
    import phonenumbers

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(number, region)))
    except phonenumbers.NumberParseException:
        return False


_LETTERS = "letters"  # in the place of shapes: any form that has a letter


def _is_national_id(candidate: str, before: str, after: str) -> bool:
    """By check digits where the format is unmistakable, else also by a word before it."""
    if not _stands_alone(before, after):
        return False
    form = _form(candidate)
    lettered = "A" in form
    if not lettered and form not in _shapes() and not _announced().search(before):
        return False  # most numbers: no check digit need be looked at
    for check, shapes, words in _national_ids():
        shaped = lettered if shapes == _LETTERS else form in shapes
        if (shaped or any(word in before for word in words)) and check(candidate):
            return True
    return False


def _no_national_id(candidate: str, before: str) -> bool:
    if _shaped().search(_form(candidate)):
        return False
    return _announced().search(before) is None


@cache
def _shaped() -> re.Pattern[str]:
    """A letter, or one of the unmistakable forms."""
    return re.compile("|".join(["A", *map(re.escape, sorted(_shapes()))]))


@cache
def _shapes() -> frozenset[str]:
    return frozenset(
        shape for _, shapes, _ in _national_ids() if shapes != _LETTERS for shape in shapes
    )


@cache
def _announced() -> re.Pattern[str]:
    words = {word for _, _, words in _national_ids() for word in words}
    return re.compile("|".join(map(re.escape, sorted(words))))


@cache
def _national_ids() -> tuple[tuple[Callable[[str], bool], Sequence[str], tuple[str, ...]], ...]:
    """(validator, unmistakable written forms, words that announce it).

    In a form ``9`` stands for a digit, ``A`` for a letter; the rest for itself.
    """
    from stdnum.be import nn
    from stdnum.br import cpf
    from stdnum.ca import sin
    from stdnum.ch import ssn as ahv
    from stdnum.cn import ric
    from stdnum.de import idnr
    from stdnum.es import dni, nie
    from stdnum.fi import hetu
    from stdnum.fr import nir
    from stdnum.gb import nhs
    from stdnum.in_ import aadhaar
    from stdnum.it import codicefiscale
    from stdnum.nl import bsn
    from stdnum.pl import pesel
    from stdnum.se import personnummer
    from stdnum.us import ssn

    return (
        (ssn.is_valid, ("999-99-9999",), ("ssn", "social security")),
        (nir.is_valid, ("9 99 99 99 999 999 99",), ("nir", "sécurité sociale")),
        (codicefiscale.is_valid, _LETTERS, ()),
        (dni.is_valid, _LETTERS, ()),
        (nie.is_valid, _LETTERS, ()),
        (hetu.is_valid, _LETTERS, ("hetu",)),
        (_is_nino, _LETTERS, ()),
        (cpf.is_valid, ("999.999.999-99",), ("cpf",)),
        (ahv.is_valid, ("999.9999.9999.99",), ("ahv", "avs")),
        (nn.is_valid, ("99.99.99-999.99",), ("rijksregister", "registre national")),
        (aadhaar.is_valid, ("9999 9999 9999",), ("aadhaar",)),
        (ric.is_valid, ("9" * 18, "9" * 17 + "A"), ()),
        (nhs.is_valid, (), ("nhs",)),
        (sin.is_valid, (), ("sin", "social insurance")),
        (bsn.is_valid, (), ("bsn", "burgerservice")),
        (pesel.is_valid, (), ("pesel",)),
        (idnr.is_valid, (), ("steuer", "tax id", "idnr")),
        (personnummer.is_valid, ("999999-9999",), ("personnummer",)),
    )


def _form(text: str) -> str:
    return text.translate(_AS_FORM)


def _is_nino(candidate: str) -> bool:
    text = candidate.replace(" ", "").upper()
    plain = _form(text) == "AA999999A" and text[-1] in "ABCD"
    return plain and not set(text[0]) & set("DFIQUV") and not set(text[1]) & set("DFIQUVO")


def _looks_random(candidate: str, _before: str, _after: str) -> bool:
    """Is a long token a key? Mixed classes and at least 4 bits a character (Shannon)."""
    classes = (str.islower, str.isupper, str.isdigit)
    if not all(any(is_class(c) for c in candidate) for is_class in classes):
        return False
    if max(len(word) for word in candidate.replace("-", "/").split("/")) < 24:
        return False  # a path or a slug is many words
    total = len(candidate)
    if sum(ord(b) - ord(a) == 1 for a, b in pairwise(candidate)) > total / 2:
        return False  # an alphabet
    counts = Counter(candidate).values()
    return -sum(n / total * math.log2(n / total) for n in counts) >= 4.0


def _is_password(candidate: str, before: str, _after: str) -> bool:
    """After "password:" a word of prose may follow; a password mixes letters with something.

    After "password is" that is no hyphen: "is well-protected".
    """
    prose = "-'’" if before.rstrip().endswith("is") else ""
    odd = any(not c.isalpha() and c not in prose for c in candidate[:-1])
    return odd and any(c.isalpha() for c in candidate)


# ── the kinds ────────────────────────────────────────────────────────────────────────────────

_PREFIXED = (
    r"\b(?:sk-(?:ant-|proj-)?[A-Za-z0-9_\-]{20,}|[srp]k_(?:live|test)_[A-Za-z0-9]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,}|glpat-[A-Za-z0-9_\-]{20,}"
    r"|xox[abeoprs]-[A-Za-z0-9\-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}\b|AIza[A-Za-z0-9_\-]{35}"
    r"|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_\-]{50,}"
    r"|SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}"
    r"|eyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}(?:\.[A-Za-z0-9_\-]*)?)"
)
_NAMED = (
    r"(?i)(?:password|passwd|pwd|passphrase|secret|api[_\- ]?key|(?:access|auth)[_\- ]?token"
    r"|client[_\- ]?secret)[\"']?\s{0,3}(?:[:=]|\bis\b)\s{0,3}[\"'`]?"
    r"([^\s\"'`,;<\[\]][^\s\"'`,;\[\]]{5,})"
)

DETECTORS: tuple[Detector, ...] = (
    Detector(
        "secret",
        "long",
        r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*KEY-----",
        _always,
    ),
    Detector("secret", "prefix", _PREFIXED, _always),
    Detector("secret", "named", _NAMED, _is_password),
    Detector("secret", "named", r"(?i)\bbearer\s+([A-Za-z0-9._~+/\-]{20,}=*)", _always),
    Detector("secret", "long", r"://[^\s/@:]*:([^\s/@]+)@", _always),
    Detector("secret", "long", r"\b[A-Za-z0-9+/_\-]{32,}={0,2}", _looks_random),
    Detector(
        "email",
        "at",
        r"[\pL\pN][\pL\pN._%+'\-]*@(?:[\pL\pN][\pL\pN\-]*\.)+\pL{2,24}",
        _always,
    ),
    Detector(
        "iban",
        "iban",
        r"(?i)\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,4})?\b",
        _is_iban,
        True,
    ),
    Detector("card", "digits", r"\b\d(?:[ \-]?\d){12,18}\b", _is_card, divisible=True),
    Detector("ip", "ipv4", r"\b\d{1,3}(?:\.\d{1,3}){3}\b", _is_ipv4),
    Detector("ip", "ipv6", r"(?i)[0-9a-f:]*:[0-9a-f:]*:[0-9a-f:]*:?[0-9a-f]*", _is_ipv6),
    Detector(
        "national_id",
        "digits",
        r"\b\d{1,4}(?:[ .\-]?\d{1,4}){2,7}[0-9Xx]\b",
        _is_national_id,
        divisible=True,
        hopeless=_no_national_id,
    ),
    Detector("national_id", "lettered", r"(?i)\b(?:[XYZ]-?)?\d{7,8}-?[A-Z]\b", _is_national_id),
    Detector(
        "national_id",
        "codice",
        r"(?i)\b[A-Z]{6}[0-9LMNPQRSTUV]{2}[A-Z][0-9A-Z]{2}[A-Z][0-9A-Z]{3}[A-Z]\b",
        _is_national_id,
    ),
    Detector(
        "national_id", "lettered", r"(?i)\b[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b", _is_national_id
    ),
    Detector("national_id", "lettered", r"\b\d{6}[\-+A-FU-Y]\d{3}[0-9A-Y]\b", _is_national_id),
    Detector(
        "phone",
        "digits",
        r"(?:\+|\b|\()\d(?:(?:[ ./\-]?\(?|\)[ \-]?)\d){6,17}\b",
        _is_phone,
        divisible=True,
        hopeless=_no_phone,
    ),
)


# Cheaper shapes, together one set: a text with none of them holds nothing.
FIRST_PASS: dict[str, str] = {
    "at": r"@[^\s@]+\.[^\s@.]{2}",
    "digits": r"\d(?:[ ()./\-]{0,3}\d){6}",
    "ipv4": r"\d(?:\.\d{1,3}){3}|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d",
    "ipv6": r"(?i)[0-9a-f]{0,4}:[0-9a-f]{0,4}:[0-9a-f]{0,4}:",
    "iban": r"(?i)[A-Z]{2}\d{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}",
    "lettered": r"(?i)\d{7}-?[A-Z]|[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]|\d{6}[\-+A-Y]\d{3}",
    # Whole, because its first half is the inside of many a long word.
    "codice": r"(?i)\b[A-Z]{6}[0-9L-NP-V]{2}[A-Z][0-9A-Z]{2}[A-Z][0-9A-Z]{3}[A-Z]\b",
    "long": r"[A-Za-z0-9+/_\-]{32}|-----BEGIN|://[^\s/@]*:[^\s/@]+@",
    "prefix": r"sk-|[srp]k_|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|AKIA|ASIA|AIza|hf_|npm_"
    r"|pypi-|SG\.|eyJ",
    "named": r"(?i)bearer\s+[A-Za-z0-9._~+/\-]{20}|(?:pass(?:word|wd|phrase)|pwd|secret"
    r"|api[_\- ]?key|(?:access|auth)[_\- ]?token)[\"']?\s{0,3}(?:[:=]|is\b)",
}
