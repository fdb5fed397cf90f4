"""Words and phrases that a product's answer should not hold, and those by which inputs attack.

A lexicon misses what it does not know and knows no irony; it costs next to nothing, and what it
finds it can name. So only what is unmistakable in an assistant's answer stands here: technical
English ("kill the process", "abort", "dummy", "master") must pass. RE2 syntax; a pattern begins
and ends at word edges and knows no case.
"""

from __future__ import annotations

from collections.abc import Mapping

# Kind → patterns. The kind becomes the reason of the score.
TOXIC: Mapping[str, tuple[str, ...]] = {
    "obscenity": (
        r"(?:mother)?fuck(?:s|ed|er|ers|ing)?",
        r"(?:bull)?shit(?:s|ty|head)?",
        r"ass ?holes?",
        r"bitch(?:es)?",
        r"bastards?",
        r"cunts?",
        r"dick ?heads?",
        r"douche ?bags?",
        r"wankers?",
    ),
    "insult": (
        r"you(?:'re| are)(?: \w+){0,2} (?:an? )?(?:\w+ )?(?:idiot|moron|imbecile|cretin|loser"
        r"|stupid|dumb|pathetic|worthless|ugly|disgusting)",
        r"you (?:\w+ )?(?:idiot|moron|imbecile|cretin|loser)s?",
        r"(?:how|so) (?:stupid|dumb) (?:are|can) you",
        r"shut (?:the \w+ )?up",
        r"(?:nobody|no one) (?:likes|loves|cares about) you",
    ),
    "threat": (
        r"(?:i|we) (?:will|am going to|are going to|shall) "
        r"(?:kill|hurt|find and (?:kill|hurt)|beat|destroy) you",
        r"(?:i'll|we'll|i'm gonna|we're gonna) (?:kill|hurt|beat|destroy) you",
        r"you (?:deserve|ought) to (?:die|suffer|be (?:killed|beaten|shot))",
        r"i hope you (?:die|suffer)",
    ),
    "self_harm": (
        r"kill yourself",
        r"(?:you should|just|go(?: and)?) (?:die|end your life|hang yourself|cut yourself)",
        r"the world (?:would|will) be better (?:off )?without you",
    ),
    "slur": (
        r"nigg(?:er|a)s?",
        r"faggots?",
        r"kikes?",
        r"wetbacks?",
        r"trann(?:y|ies)",
        r"sub-?humans?",
        r"(?:all|those|these|dirty|filthy) (?:jews|muslims|blacks|gays|immigrants|women|gypsies)"
        r" (?:are|should be|must be|deserve)",
    ),
}

INJECTION: Mapping[str, tuple[str, ...]] = {
    "override": (
        r"(?:ignore|disregard|forget|override|bypass)(?: \w+){0,3} (?:previous|prior|above"
        r"|earlier|preceding|system|initial|original)(?: \w+){0,2} (?:instructions?|prompts?"
        r"|rules?|messages?|directions?|guidelines?)",
        r"(?:ignore|disregard|forget) (?:everything|anything|all)(?: \w+){0,3} (?:above|before"
        r"|prior|previously|told)",
        r"do not follow (?:the|your|any)(?: \w+){0,2} (?:instructions?|rules?|guidelines?)",
        r"new (?:system )?instructions?:",
    ),
    "role": (
        r"you are (?:now )?(?:dan|stan|aim|in developer mode|jailbroken|unrestricted)",
        r"(?:enable|activate|enter|switch to) (?:developer|god|dan|jailbreak|admin|debug) mode",
        r"(?:do|say) anything now",
        r"(?:act|respond|answer|behave) (?:as if|as though|like) you (?:have|had) no (?:rules"
        r"|restrictions|limits|filters|guidelines)",
        r"without (?:any )?(?:ethical|moral|safety) (?:restrictions|filters|guidelines|limits)",
    ),
    "extraction": (
        r"(?:reveal|show|print|repeat|output|display|tell me|give me|what (?:is|are|were))"
        r"(?: \w+){0,4} (?:system|hidden|initial|secret|original) (?:prompt|instructions?|message)",
        r"repeat (?:the|all)(?: \w+){0,2} (?:words|text|instructions)? ?(?:above|verbatim)",
        r"(?:everything|the text|all text) above (?:this line|this message|verbatim)",
    ),
    "markup": (
        r"<\|(?:im_start|im_end|system|endoftext|assistant)\|>",
        r"\[/?INST\]|<</?SYS>>",
        r"(?m:^)\W{0,4}(?:system|assistant)\W{0,3}:\s",
        r"</?(?:system|assistant|instructions?)>",
    ),
}

# Markers of this kind begin or end with signs, so a word's edge would not be there.
WITHOUT_EDGES = frozenset({"markup"})
