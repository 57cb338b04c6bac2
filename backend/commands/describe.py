"""The command describe: descriptions of labels in a language model's words, for a person to edit and approve."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import regex
import typer

from backend.commands.printing import Printer, counting
from backend.commands.train import label_space_of
from backend.core.artefacts import write_atomically
from backend.core.descriptions import Description, descriptions_from, fitting
from backend.core.disk import hand_over
from backend.core.errors import BadInputError
from backend.core.labels import LabelNames
from backend.core.settings import load_settings, load_state_settings
from backend.core.types import Example, LabelSpace
from backend.files import appearing, read_text
from backend.rows.texts import read_labelled

K_EXAMPLES, MAX_K = 5, 10  # examples of a label; more do not fit beside the prompt
SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class Material:
    """What labels are described from, and by which models."""

    space: LabelSpace
    examples: Sequence[Example]
    profile: str = ""  # empty: the backend's own
    language: str = ""  # empty: detected


def describe(
    data: Annotated[Path | None, typer.Argument(help="CSV, TSV or JSONL with the columns text and label.")] = None,
    label_config: Annotated[Path | None, typer.Option(help="Label Studio's XML; else the labels of DATA.")] = None,
    project: Annotated[int, typer.Option("--project", help="A connected project in place of files.")] = 0,
    model: Annotated[Path | None, typer.Option(help="A GGUF file; else the profile's first local voter.")] = None,
    out: Annotated[Path | None, typer.Option(help="The JSONL file (with --as-hints: XML) to write.")] = None,
    k: Annotated[
        int, typer.Option(min=0, max=MAX_K, help="Examples of each label that the model is shown; 0: none.")
    ] = K_EXAMPLES,
    language: Annotated[str, typer.Option(help="ISO 639 code, or mixed; else detected from texts and labels.")] = "",
    profile: Annotated[str, typer.Option(help="Which models; see profiles/.")] = "",
    oos_label: Annotated[str, typer.Option(help='The label that means "none of the labels".')] = "",
    where: Annotated[str, typer.Option("--where", help="Take only the rows of DATA with column=value.")] = "",
    approve: Annotated[
        Path | None, typer.Option(help="The edited file: keep its approved lines with the project.")
    ] = None,
    as_hints: Annotated[
        bool, typer.Option("--as-hints", help="The label config with what is approved as hints.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Have a local language model write what texts of each label want, and what tells a label from its nearest ones.

    What it writes is a draft: nothing of it is used before a person has edited it and written "approved": true into
    its line. Words that stand in no name, hint or example are marked, *so*, and listed in the line.

    --project N --approve FILE keeps the approved lines with the project in place of those before; they are then the
    hints of labels that have none in the label config, and the workers make its version anew. For files there is
    `prelabel train --descriptions FILE`. --as-hints prints a label config instead: of the project with what it keeps,
    or, with --label-config and --approve, of files.
    """
    if bool(project) == bool(data or label_config):
        raise BadInputError("either --project, or DATA, --label-config or both must be given")
    printer = Printer(as_json)
    if as_hints:
        _print_hinted(printer, _hinted(project, label_config, approve, oos_label), out)
    elif approve is not None:
        _approve(printer, project, approve)
    else:
        _check_new(out)
        material = (
            _of_project(project) if project
            else _of_files(printer, data, label_config, where, oos_label)
        )  # fmt: skip
        asked = replace(material, profile=profile or material.profile, language=language or material.language)
        found = _described(printer, asked, model, k)
        if out is not None:
            with appearing(out) as hidden:
                hidden.write_text("".join(f"{each.to_json()}\n" for each in found), encoding="utf-8")
        _print_found(printer, found, out, project)


def _check_new(out: Path | None) -> None:
    if out is not None and out.suffix.lower() != SUFFIX:
        raise BadInputError(f"--out must end in {SUFFIX}, was {out}; rename it")
    if out is not None and out.exists():
        raise BadInputError(f"--out must not exist, but {out} does, and may hold what a person edited; name another")


def _of_files(printer: Printer, data: Path | None, label_config: Path | None, where: str, oos_label: str) -> Material:
    examples = read_labelled(data, where=where, report=printer.step) if data else []
    space = label_space_of(examples, label_config, oos_label)
    return Material(space, LabelNames(space).of_examples(examples))


def _of_project(number: int) -> Material:
    from backend.connection.descriptions import accepted
    from backend.connection.versions import key_of
    from backend.loop.desk import Desk

    with Desk(load_state_settings()) as desk:
        work = desk.project(key_of(desk, number))
        return Material(work.offered, accepted(work), work.profile, work.settings.language)


def _described(printer: Printer, material: Material, model: Path | None, k: int) -> list[Description]:
    from backend.assembly import Assembly  # torch takes seconds: a wrong option is told at once
    from backend.core.languages import checked_language
    from backend.core.profiles import LOCAL, ModelSpec
    from backend.pipeline.language import detect_language
    from backend.pipeline.lexical import Stemmer, stemmed_as
    from training.describe import N_NEAREST, Describer, descriptions_of, subjects_of
    from training.wording import Wordings

    language = checked_language(material.language, "--language")
    assembly, k = Assembly(load_settings()), k if material.examples else 0
    spec = assembly.profile(material.profile).local_voter if model is None else ModelSpec(LOCAL, f"file:{model}")
    if not language:
        names = [label.document for label in material.space.labels]
        language = detect_language((each.text for each in material.examples), names=names)
    if language not in spec.options.get("languages", [language]):
        printer.step(f"{spec.uri} does not know the language {language!r} well; a larger model with --model would")
    writer = assembly.writer(spec)
    embedder = assembly.embedder(language, profile=material.profile)
    subjects = subjects_of(material.space, material.examples, embedder, k=k)
    describer = Describer(writer, Wordings(language, k > 0, Stemmer(stemmed_as(language))))
    with counting() as progress:
        n = len(subjects) * (1 + min(N_NEAREST, len(subjects) - 1))
        sentences = list(progress.track(describer.sentences(subjects), total=n, description="writing sentences"))
    return descriptions_of(sentences, made_by=describer.made_by | {"k": k})


def _approve(printer: Printer, project: int, path: Path) -> None:
    if not project:
        raise BadInputError("--approve must go with --project, or with --as-hints; for files: train --descriptions")
    from backend.connection.descriptions import approve
    from backend.loop.desk import Desk

    written = descriptions_from(read_text(path), where=str(path))
    with Desk(load_state_settings()) as desk:
        work = approve(desk, project, written)
    labels = {label.value: label for label in work.offered.labels}
    unused = [each.label for each in work.descriptions if labels[each.label].hint]
    printer.result({"project": project, "approved": len(work.descriptions), "hint_of_the_config_wins": unused})


def _hinted(project: int, label_config: Path | None, path: Path | None, oos_label: str) -> str:
    """The config with the descriptions that a project keeps, or with those of a file."""
    from backend.labelstudio.label_config import hinted
    from backend.labelstudio.schema import file_control

    if project and path is None:
        from backend.connection.versions import key_of
        from backend.loop.desk import Desk

        with Desk(load_state_settings()) as desk:
            work = desk.project(key_of(desk, project))
            return hinted(work.project.label_config, work.control, work.descriptions)
    if project or label_config is None or path is None:
        raise BadInputError("--as-hints must go with --project alone, or with --label-config and --approve")
    config = read_text(label_config)
    control = file_control(config, oos_label=oos_label)
    return hinted(config, control, fitting(descriptions_from(read_text(path), where=str(path)), control.space))


def _print_hinted(printer: Printer, config: str, out: Path | None) -> None:
    if out is not None:
        write_atomically(out, config)
        hand_over(out)
        printer.result({"out": str(out)})
    elif printer.as_json:
        printer.result({"label_config": config})
    else:
        printer.document(config.rstrip("\n"))


def _print_found(printer: Printer, found: Sequence[Description], out: Path | None, project: int) -> None:
    if printer.as_json:
        printer.result({"out": str(out or ""), "descriptions": [asdict(each) for each in found]})
        return
    lines = [line for each in found for line in _told(each)]
    n_marked = sum(bool(each.not_in_examples) for each in found)
    lines += [
        "",
        f"{n_marked} of {len(found)} labels have *words* that no name, hint or example has: check these first",
    ]
    if out is not None:
        use = f"describe --project {project} --approve {out}" if project else f"train ... --descriptions {out}"
        lines.append(f'edit {out}, write "approved": true where a line is right, then: prelabel {use}')
    printer.text("\n".join(lines))


def _told(found: Description) -> list[str]:
    words = found.not_in_examples
    return [
        f"{found.label}: {_marked(found.description, words) or '(nothing was written)'}",
        *(f"  against {other}: {_marked(text, words)}" for other, text in found.differences.items()),
    ]


def _marked(text: str, words: Sequence[str]) -> str:
    if not words:
        return text
    either = "|".join(regex.escape(word) for word in words)
    return str(regex.sub(rf"(?<!\w)({either})(?!\w)", r"*\1*", text, flags=regex.IGNORECASE))
