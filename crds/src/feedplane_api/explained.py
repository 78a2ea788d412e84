"""Words for machines, each with the sentence that explains it to a person."""

from enum import StrEnum
from typing import Self


class Explained(StrEnum):
    """A word with its sentence; the reference pages are made of both."""

    sentence: str

    def __new__(cls, word: str, sentence: str = "") -> Self:
        """Make a member of a word and its sentence, which only a lookup may leave out.

        Raises:
            ValueError: a member without its sentence.
        """
        if not sentence:
            raise ValueError(f"{cls.__name__} {word} lacks its sentence")
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence = sentence
        return member
