"""Converts a folder: shard by shard, in many processes, continued after a kill, with a report of what was skipped."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from worldmodel.data.clip_writer import ClipWriter
from worldmodel.data.convert.alignment import best_lag
from worldmodel.data.convert.common import Format, Options, Skip, clean_key, make_clips
from worldmodel.data.convert.files import Recording
from worldmodel.data.convert.gf_minecraft import GfMinecraft
from worldmodel.data.convert.minerl import MineRL
from worldmodel.data.convert.talking import TalkingHeads
from worldmodel.data.convert.teco import Teco
from worldmodel.data.convert.vpt import Vpt
from worldmodel.data.resume import claimed, in_processes, shard_path, write_json

FORMATS: dict[str, type[Format]] = {
    "teco": Teco,
    "vpt": Vpt,
    "gf-minecraft": GfMinecraft,
    "minerl": MineRL,
    "video": TalkingHeads,
}
LISTED = 1000  # of each kind in report.json; the reports beside the shards list them all
MIN_MEASURED = 5  # recordings, before their alignment is judged


@dataclass(frozen=True)
class Conversion:
    """All that the content of the shards depends on.

    Attributes:
        format: one of FORMATS.
        recordings: how many the source holds.
        source: a digest of their names; a source that has grown is another one.
        options: how clips are cut.
        recordings_per_shard: recordings in a tar file.
    """

    format: str
    recordings: int
    source: str
    options: Options
    recordings_per_shard: int


def convert(
    format: str,
    source: str | Path,
    out: str | Path,
    options: Options,
    recordings_per_shard: int = 8,
    workers: int = 1,
    progress: bool = True,
) -> dict[str, Any]:
    """Converts what is not there yet.

    Args:
        format: one of FORMATS.
        source: the folder to read.
        out: the folder for the shards; one that holds part of the same conversion is completed.
        options: how clips are cut.
        recordings_per_shard: recordings in a tar file.
        workers: how many processes.
        progress: whether to draw a progress bar on stderr.

    Returns:
        The report, also written to `OUT/report.json`.

    Raises:
        ValueError: if the source holds nothing of that format, the folder holds something else, another run writes
            to it, or something that the options ask for is not there.
        OSError: if the source cannot be read, or the folder not written.
    """
    out = Path(out)
    reader = FORMATS[format]()
    found = reader.find(Path(source))
    reader.begin(options)  # what is missing is named before the first shard
    reader.end()
    digest = hashlib.sha256("\n".join(recording.name for recording in found).encode()).hexdigest()[:16]
    conversion = Conversion(format, len(found), digest, options, recordings_per_shard)
    facts = asdict(conversion)
    if options.fps is None:  # as in the facts of conversions from before there was a choice
        del facts["options"]["fps"]
    with claimed(out, "conversion", "converting", facts):
        starts = range(0, len(found), recordings_per_shard)
        batches = [found[start : start + recordings_per_shard] for start in starts]
        missing = [shard for shard in range(len(batches)) if not _is_done(out, shard)]
        done = len(found) - sum(len(batches[shard]) for shard in missing)
        tasks = [(conversion, out, shard, batches[shard]) for shard in missing]
        with tqdm(total=len(found), initial=done, unit="recording", desc=str(out), disable=not progress) as bar:
            for recordings in in_processes(convert_shard, tasks, workers):
                bar.update(recordings)
        report = summarize(
            conversion, [json.loads(_report_path(out, shard).read_text()) for shard, _ in enumerate(batches)]
        )
        write_json(out / "report.json", report)
    return report


def convert_shard(conversion: Conversion, out: Path, shard: int, recordings: list[Recording]) -> int:
    """Converts the recordings of one shard, which appears when it is whole, then its report; returns how many."""
    report: dict[str, Any] = {"clips": 0, "frames": 0, "skipped": [], "cut": [], "notes": {}, "lags": []}
    notes: Counter[str] = Counter()
    reader = FORMATS[conversion.format]()
    reader.begin(conversion.options)
    path = shard_path(out, shard)
    with ClipWriter(path, reader.conditions(conversion.options)) as writer:
        for number, recording in enumerate(recordings, shard * conversion.recordings_per_shard):
            cuts: list[Skip] = []
            lags: list[int | None] = []
            try:
                if recording.problem:
                    raise Skip("damaged or foreign", recording.problem)
                track = reader.read(recording, conversion.options)
                track.meta["recording"] = recording.name
                for clip in make_clips(track, clean_key(number, recording.name), conversion.options, cuts):
                    writer.write(clip)
                    lags.append(best_lag(clip))
                    report["frames"] += len(clip.frames)
                notes.update(track.notes)
                if not lags and not cuts:
                    cuts.append(Skip("too short", f"frames {track.segments[:5]}"))
            except Skip as error:
                cuts.append(error)
            except ValueError as error:  # a file that cannot be read, a value outside its space
                cuts.append(Skip("unreadable", str(error)))
            report["clips"] += len(lags)
            report["cut" if lags else "skipped"] += [_entry(recording, cut) for cut in cuts]
            report["lags"].append(Counter(lag for lag in lags if lag is not None).most_common(1))
    reader.end()
    if not report["clips"]:
        path.unlink()
    report["notes"] = {note: count for note, count in sorted(notes.items()) if count}
    write_json(_report_path(out, shard), report)
    return len(recordings)


def summarize(conversion: Conversion, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the report of a whole conversion from those of its shards."""
    skipped = [entry for report in reports for entry in report["skipped"]]
    cut = [entry for report in reports for entry in report["cut"]]
    notes: Counter[str] = Counter()
    lags: Counter[str] = Counter()
    for report in reports:
        notes.update(report["notes"])
        lags.update(str(common[0][0]) for common in report["lags"] if common)
    return {
        "format": conversion.format,
        "recordings": conversion.recordings,
        "converted": conversion.recordings - len(skipped),
        "clips": sum(report["clips"] for report in reports),
        "frames": sum(report["frames"] for report in reports),
        "skipped_by_reason": dict(Counter(entry["reason"] for entry in skipped).most_common()),
        "cut_by_reason": dict(Counter(entry["reason"] for entry in cut).most_common()),
        "notes": dict(sorted(notes.items())),
        "lags": dict(lags.most_common()),
        "skipped": skipped[:LISTED],
        "cut": cut[:LISTED],
    }


def complaints(report: dict[str, Any], max_skipped: float) -> list[str]:
    """Returns what speaks against training on a conversion; nothing, if all is well.

    Args:
        report: from `convert`.
        max_skipped: the share of recordings that may be skipped.
    """
    found = []
    skipped = report["recordings"] - report["converted"]
    if skipped > max_skipped * report["recordings"]:
        found.append(
            f"{skipped} of {report['recordings']} recordings were skipped, more than --max-skipped {max_skipped:g}: "
            "see why above, and repair the source or raise it"
        )
    lags = report["lags"]
    measured = sum(lags.values())
    if measured >= MIN_MEASURED and lags.get("0", 0) <= measured / 2:
        found.append(
            f"the pictures of {measured - lags.get('0', 0)} of {measured} recordings do not move when their actions "
            f"say so (steps late: {lags}): the source is not aligned as its format promises"
        )
    return found


def _entry(recording: Recording, error: Skip) -> dict[str, str]:
    return {"recording": recording.name, "reason": error.reason, "detail": error.detail}


def _report_path(out: Path, shard: int) -> Path:
    return out / f"shard-{shard:06d}.json"


def _is_done(out: Path, shard: int) -> bool:
    path = _report_path(out, shard)
    return path.exists() and (not json.loads(path.read_text())["clips"] or shard_path(out, shard).exists())
