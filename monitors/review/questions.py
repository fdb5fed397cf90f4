"""What a quarter asks people to decide. Light to import: a DAG's form is made of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """A decision by its name; ``choices`` are all there are, the first changes nothing."""

    name: str
    asks: str
    choices: tuple[str, ...]


QUESTIONS = (
    Question("judge", "May the judge go on speaking for people?", ("keep", "retrain", "stop")),
    Question("anchors", "Do the anchors still watch the judge?", ("keep", "renew")),
    Question(
        "golden", "Does the golden set still stand for the traffic?", ("keep", "extend", "prune")
    ),
    Question("rubric", "Does the rubric still ask what matters?", ("keep", "change")),
    Question("raters", "Can everybody judge what they are given?", ("keep", "train", "replace")),
    Question("rules", "Did the rules speak when they should, and only then?", ("keep", "change")),
)
BY_NAME = {question.name: question for question in QUESTIONS}
