"""Emotion of text, by the classifier that ships."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edtalk_core.builtin_files import builtin_file
from edtalk_core.emotion.files import TEXT_FORMAT, classifier_metadata
from edtalk_core.emotion.ngrams import ngram_bags, tokens
from edtalk_core.emotion.text import TextEmotion, load_text_emotion, sentences, text_classifier
from edtalk_core.errors import UnsupportedCheckpoint
from edtalk_core.motion.presets import EMOTIONS
from edtalk_core.networks.text_emotion import TextEmotionNetwork

SAID = {
    "I am so happy, thank you, I love it!": "happy",
    "This is awesome, congratulations!": "happy",
    "I miss her so much. I am so sorry.": "sad",
    "That is so sad.": "sad",
    "I hate you, shut up, you idiot!": "angry",
    "This is disgusting, gross.": "disgusted",
    "I am so scared, it was terrifying.": "fear",
    "Wow, I am surprised, really?": "surprised",
}


@pytest.fixture(scope="module")
def classifier() -> TextEmotion:
    return load_text_emotion()


def test_plain_words_are_understood(classifier: TextEmotion):
    judged = [EMOTIONS[index] for index in classifier.classify(list(SAID)).argmax(1)]
    assert judged == list(SAID.values())


def test_probabilities_and_order_do_not_depend_on_the_batch(classifier: TextEmotion):
    together = classifier.classify([*SAID, "", "😀"])
    assert torch.allclose(together.sum(1), torch.ones(len(together)), atol=1e-5)
    assert (together >= 0).all()
    alone = torch.cat([classifier.classify([text]) for text in [*SAID, "", "😀"]])
    assert torch.allclose(together, alone, atol=1e-6)
    assert classifier.classify([]).shape == (0, 8)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I do not know what you want from me, but I will be there.", "en"),
        ("Ich weiß nicht, was du von mir willst, aber ich werde da sein.", "de"),
        ("No sé lo que quieres de mí, pero estaré allí para ti.", "es"),
        ("Je ne sais pas ce que tu veux de moi, mais je serai là.", "fr"),
        ("Я не знаю, что ты хочешь от меня, но я буду там.", "ru"),
        ("لا أعرف ماذا تريد مني ولكن سأكون هناك من أجلك", "ar"),
        ("我不知道你想要我做什么，但是我会在那里。", "zh"),
        ("나는 네가 무엇을 원하는지 모르지만 거기에 있을게.", "ko"),
        ("Δεν ξέρω τι θέλεις από μένα, αλλά θα είμαι εκεί.", None),
        ("אני לא יודע מה אתה רוצה ממני, אבל אני אהיה שם.", None),
        ("何が欲しいのか分からないけど、そこに行くよ。", None),
        ("मुझे नहीं पता तुम क्या चाहते हो, लेकिन मैं वहाँ रहूँगा।", None),
        ("Nem tudom, hogy mit akarsz tőlem, de ott leszek érted.", None),
        ("Ni wazi kwamba sijui unachotaka kutoka kwangu leo asubuhi.", None),
        ("😀😀", None),
        ("", None),
    ],
)
def test_languages(text: str, language: str | None, classifier: TextEmotion):
    assert classifier.language(text) == language


def test_a_sentence_takes_milliseconds(classifier: TextEmotion):
    texts = [f"{text} {number}" for number in range(25) for text in SAID]
    classifier.classify(texts)
    started = time.process_time()
    classifier.classify(texts)
    assert (time.process_time() - started) / len(texts) < 0.005


def test_tokens_of_any_script():
    assert tokens("Heyyyyyy, it's 12\u200b:30! 你好 😀\ufe0f") == [
        *("heyyy", ",", "it", "'", "s", "00", ":", "00", "!", "你", "好", "😀")
    ]
    buckets, counts, offsets = ngram_bags(["a a", "", "b"], 50)
    assert (buckets < 50).all()
    assert len(offsets) == 3
    assert offsets[1] == offsets[2]
    assert counts.max() == 2


def test_sentences():
    parts = ["Hello there.", "What?!", "Fine", "你好。", "再见！", "ok"]
    assert sentences("Hello there. What?! Fine\n你好。再见！ok") == parts
    assert sentences(" ") == []


def test_unusable_files_are_refused(tmp_path: Path):
    with pytest.raises(UnsupportedCheckpoint, match="is not a text emotion classifier"):
        text_classifier(str(builtin_file("speech_emotion.safetensors")))
    network = TextEmotionNetwork(64, 2)
    path = tmp_path / "odd.safetensors"
    for labels, words, message in (
        (["happy", "hungry"], {}, "'hungry', which is none of"),
        (["happy", "sad"], [], "which languages"),
        ([], {}, "no list of labels"),
    ):
        save_file(network.state_dict(), path, classifier_metadata(TEXT_FORMAT, labels, "", frequent_words=words))
        with pytest.raises(UnsupportedCheckpoint, match=message):
            load_text_emotion(path)
    save_file(network.state_dict(), path, {"format": TEXT_FORMAT, "format_version": "9"})
    with pytest.raises(UnsupportedCheckpoint, match="Update edtalk"):
        load_text_emotion(path)


def test_the_file_is_small_and_says_its_terms(classifier: TextEmotion):
    assert builtin_file("text_emotion.safetensors").stat().st_size < 3e6
    assert "CC BY" in classifier.license
    assert set(classifier.languages) >= {"en", "de", "fr", "es", "zh", "ko", "ar", "ru"}
