"""Things to say, in several languages; words of them are shuffled into as many sentences as are wanted."""

from __future__ import annotations

import numpy as np

from conditions.values import nearest

# By espeak-ng's names of languages. Japanese is in kana, which is what espeak-ng reads.
PHRASES: dict[str, tuple[str, ...]] = {
    "en-us": (
        "Good morning, how are you today?",
        "The quick brown fox jumps over the lazy dog.",
        "I would love to show you something beautiful.",
        "Maybe we should have a cup of coffee before the meeting.",
        "What a wonderful surprise, thank you very much!",
        "She sells sea shells by the stormy shore.",
        "Five big boats moved through the deep blue water.",
        "Could you please open that window for me?",
        "My brother plays the piano every Thursday evening.",
        "Let us measure the size of the yellow house.",
    ),
    "en-gb": (
        "It is rather cold this afternoon, is it not?",
        "Peter bought half a dozen apples from the market.",
        "We have been waiting for the bus since half past five.",
        "Would you mind passing me the butter?",
        "Whether the weather is fine or not, we shall walk.",
        "There is nothing better than a warm fire in winter.",
    ),
    "cmn": (
        "你好 我 很 高兴 认识 你。",
        "今天 天气 非常 好 我们 去 公园 吧。",
        "请 给 我 一杯 热 咖啡 谢谢。",
        "妈妈 买 了 苹果 和 葡萄。",
        "他 每天 早上 跑步 晚上 读书。",
        "这个 地方 太 美丽 了。",
        "明天 我们 坐 火车 去 北京。",
    ),
    "ja": (
        "こんにちは おげんきですか。",
        "きょうは とても いい てんきですね。",
        "わたしは まいにち ほんを よみます。",
        "どうも ありがとう ございます。",
        "あしたの あさ いっしょに うみへ いきましょう。",
        "この ねこは ちいさくて かわいいです。",
        "ふゆの やまは ゆきで まっしろです。",
    ),
    "de": (
        "Guten Morgen, wie geht es Ihnen heute?",
        "Der kleine Hund läuft schnell über die grüne Wiese.",
        "Ich möchte bitte eine Tasse Kaffee mit Milch.",
        "Fischers Fritz fischt frische Fische.",
        "Morgen fahren wir mit dem Zug nach München.",
        "Das ist eine wunderbare Überraschung.",
        "Bitte öffnen Sie das Fenster ein bisschen.",
    ),
    "es": (
        "Buenos días, me llamo Pablo y vivo en Barcelona.",
        "El perro pequeño corre por la playa blanca.",
        "Quiero un café con leche, por favor.",
        "Mañana vamos a bailar hasta muy tarde.",
        "Qué bonita sorpresa, muchas gracias.",
        "Tres tristes tigres tragaban trigo en un trigal.",
        "Mi hermana compra frutas en el mercado.",
    ),
    "hi": (
        "नमस्ते आप कैसे हैं।",
        "आज मौसम बहुत अच्छा है।",
        "मुझे एक कप चाय चाहिए।",
        "मेरा भाई रोज सुबह बाजार जाता है।",
        "आपसे मिलकर बहुत खुशी हुई।",
        "बच्चे पार्क में गेंद से खेल रहे हैं।",
        "यह फूल बहुत सुंदर और पीला है।",
    ),
    "ar": (
        "مرحبا كيف حالك اليوم",
        "الطقس جميل جدا في الصباح",
        "أريد فنجان قهوة من فضلك",
        "أخي يقرأ كتابا كل مساء",
        "شكرا جزيلا يا صديقي",
        "نسافر غدا إلى البحر مع العائلة",
        "هذه مفاجأة رائعة فعلا",
    ),
    "fr-fr": (
        "Bonjour, comment allez-vous ce matin?",
        "Je voudrais un bon café, s'il vous plaît.",
        "Le petit chat blanc dort sur le fauteuil bleu.",
        "Nous partons demain pour la montagne avec des amis.",
        "Quelle belle surprise, merci beaucoup!",
        "Mon frère joue du piano tous les jeudis soir.",
    ),
    "it": (
        "Buongiorno, come sta oggi?",
        "Vorrei una tazza di caffè, per favore.",
        "Il cane piccolo corre veloce sulla spiaggia.",
        "Domani andiamo insieme al mercato.",
        "Che bella sorpresa, grazie mille!",
        "Mia sorella abita vicino alla piazza grande.",
    ),
}
HELD_OUT = ("fr-fr", "it")  # kept out of training clips unless asked for
TRAINED = tuple(language for language in PHRASES if language not in HELD_OUT)


def sentence(rng: np.random.Generator, language: str) -> str:
    """Returns something to say: a phrase of the language, or 3 to 9 of its phrases' words in any order.

    Raises:
        ValueError: for a language without phrases, naming the nearest.
    """
    if language not in PHRASES:
        raise ValueError(f"there are no phrases in {language!r}{nearest(language, PHRASES)}")
    phrases = PHRASES[language]
    if rng.random() < 0.4:
        return str(phrases[rng.integers(len(phrases))])
    words = [word.strip(".,!?。") for phrase in phrases for word in phrase.split()]
    return " ".join(words[index] for index in rng.integers(0, len(words), int(rng.integers(3, 10))))
