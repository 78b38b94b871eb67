"""Stage `latents`: every clip encoded once."""

from __future__ import annotations

from worldmodel.data.latents import encode_clips
from worldmodel.data.remote import is_remote
from worldmodel.training.run import Run


def encode(run: Run) -> None:
    """Encodes the run's clips with the run's autoencoder; clips that are encoded already are left out.

    Args:
        run: the run.

    Raises:
        ValueError: if there are no clips or no autoencoder, or the latents there are of another autoencoder.
    """
    accelerator, folder = run.accelerator, run.latents_place
    if is_remote(folder):
        raise ValueError(
            f"latents are encoded into a folder, data.latents is {folder}: leave it out, copy {run.folder('latents')} "
            f"there afterwards, with the index that python -m worldmodel.data.index {run.folder('latents')} makes"
        )
    clips, autoencoder = run.clips(), run.autoencoder().to(accelerator.device).eval()
    for part, place in zip(clips.sets, run.latents_places().values(), strict=True):
        encode_clips(
            autoencoder,
            part,
            place,
            process_index=accelerator.process_index,
            num_processes=accelerator.num_processes,
            progress=accelerator.is_main_process,
        )
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        print(f"latents: wrote {', '.join(run.latents_places().values())}", flush=True)
