import pytest

from feedplane_api.explained import Explained


def test_word_carries_its_sentence() -> None:
    class Word(Explained):
        DONE = "Done", "Nothing is left to do."

    assert Word("Done") is Word.DONE
    assert (f"{Word.DONE}", Word.DONE.sentence) == ("Done", "Nothing is left to do.")


def test_word_without_its_sentence_is_refused() -> None:
    with pytest.raises(ValueError, match="Word Bare lacks its sentence"):

        class Word(Explained):
            BARE = "Bare"
