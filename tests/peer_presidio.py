"""Presidio's pattern recognisers over texts from stdin: ``.venv-peers/bin/python …`` runs it.

Each line in is a JSON list of texts; each line out says what was found in each of them and how
long that took. It imports nothing of ours: its environment has other versions of everything.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

OURS = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "card", "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip", "US_SSN": "national_id", "ES_NIF": "national_id", "UK_NINO": "national_id",
    "UK_NHS": "national_id", "IT_FISCAL_CODE": "national_id", "CRYPTO": "secret",
}  # fmt: skip


def recognisers() -> list[Any]:
    from presidio_analyzer import predefined_recognizers as known

    names = (
        "EmailRecognizer", "PhoneRecognizer", "CreditCardRecognizer", "IbanRecognizer",
        "IpRecognizer", "UsSsnRecognizer", "EsNifRecognizer", "NhsRecognizer", "UkNinoRecognizer",
        "ItFiscalCodeRecognizer", "CryptoRecognizer",
    )  # fmt: skip
    return [getattr(known, name)() for name in names if hasattr(known, name)]


def main() -> None:
    finders = recognisers()
    for line in sys.stdin:
        began, out = time.process_time(), []
        for text in json.loads(line):
            found = []
            for finder in finders:
                for hit in finder.analyze(text, finder.supported_entities, None) or ():
                    # What its own threshold would drop without context is not counted against it.
                    if hit.entity_type in OURS and hit.score >= 0.3:
                        found.append((OURS[hit.entity_type], hit.start, hit.end))
            out.append(found)
        print(json.dumps({"seconds": time.process_time() - began, "found": out}), flush=True)


if __name__ == "__main__":
    main()
