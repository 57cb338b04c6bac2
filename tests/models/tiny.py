"""Tiny models of real architectures, made on the spot: random weights, real files."""

from pathlib import Path
from typing import Any

WORDS = "a the where is my order cancel card lost word text passage query где мой заказ отмена заказа . , ! ?"
LETTERS = "abcdefghijklmnopqrstuvwxyzабвгдежзийклмнопрстуфхцчшщъыьэюя0123456789"
SPECIAL = {
    "bert": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    "xlm-roberta": {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"},
}
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def tiny_cross_encoder(folder: Path, *, architecture: str, n_logits: int = 1) -> Path:
    """A sequence classifier with its tokeniser, as transformers saves them."""
    import torch
    from transformers import BertForSequenceClassification, XLMRobertaForSequenceClassification

    classes: dict[str, Any] = {
        "bert": BertForSequenceClassification,
        "xlm-roberta": XLMRobertaForSequenceClassification,
    }
    tokenizer = tiny_tokenizer(architecture)
    torch.manual_seed(0)
    config = tiny_config(architecture, tokenizer, num_labels=n_logits, initializer_range=0.5)
    model = classes[architecture](config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_embedder(folder: Path, *, architecture: str, pooling: str = "mean") -> Path:
    """An encoder in the format of sentence-transformers."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules as models
    from transformers import BertModel, XLMRobertaModel

    classes: dict[str, Any] = {"bert": BertModel, "xlm-roberta": XLMRobertaModel}
    tokenizer = tiny_tokenizer(architecture)
    torch.manual_seed(0)
    config = tiny_config(architecture, tokenizer, initializer_range=0.3)
    plain = folder.with_name(folder.name + "-plain")
    classes[architecture](config).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    word = models.Transformer(str(plain), max_seq_length=128)
    dim = SIZE["hidden_size"]
    whole = SentenceTransformer(modules=[word, models.Pooling(dim, pooling_mode=pooling), models.Normalize()])
    whole.save_pretrained(str(folder), create_model_card=False)
    return folder


def tiny_config(architecture: str, tokenizer: Any, **changes: Any) -> Any:
    from transformers import BertConfig, XLMRobertaConfig

    kinds: dict[str, Any] = {"bert": BertConfig, "xlm-roberta": XLMRobertaConfig}
    return kinds[architecture](
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, max_position_embeddings=520,
        type_vocab_size=2 if architecture == "bert" else 1, **SIZE, **changes,
    )  # fmt: skip


def tiny_tokenizer(architecture: str) -> Any:
    """Whole words and single letters, with the special tokens and the pair layout of the architecture."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    special, bert = SPECIAL[architecture], architecture == "bert"
    tokenizer = word_pieces(special) if bert else sentence_pieces(special)
    vocabulary = tokenizer.get_vocab()
    cls, sep = special["cls"], special["sep"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1" if bert else f"{cls} $A {sep} {sep} $B {sep}",
        special_tokens=[(cls, vocabulary[cls]), (sep, vocabulary[sep])],
    )
    names = {f"{name}_token": token for name, token in special.items()}
    inputs = ["input_ids", "token_type_ids", "attention_mask"] if bert else ["input_ids", "attention_mask"]
    kind: Any = PreTrainedTokenizerFast
    return kind(tokenizer_object=tokenizer, model_max_length=512, model_input_names=inputs, **names)


def word_pieces(special: dict[str, str]) -> Any:
    """BERT's: words, and letters within words."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    words = dict.fromkeys([*special.values(), *WORDS.split(), *LETTERS, *(f"##{letter}" for letter in LETTERS)])
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=special["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def sentence_pieces(special: dict[str, str]) -> Any:
    """XLM-R's: pieces with probabilities, a word's first marked."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pieces = dict.fromkeys([*special.values(), *(f"▁{word}" for word in WORDS.split()), "▁", *LETTERS])
    scores = [(piece, 0.0 if number < len(special) else -3.0 - number / 100) for number, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=list(pieces).index(special["unk"])))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer
