"""Operations on motion: each takes `Motion` and returns a new one.

Weights are absolute coordinates over the banks' bases, not offsets: zero is not "no movement", and neutral is not
zero. So motions are interpolated (equation 3) or scaled about an anchor, and never multiplied by a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from ..checks import check_number, check_whole
from ..errors import ArgumentError, MotionError
from ..media.mel import MAX_FRAMES
from .length import MODES, SHORT_TRACKS, Mode, leader
from .motion import Motion, checked_fps

Curve = float | Sequence[float] | np.ndarray | torch.Tensor | Callable[[float], float]
"""A number that may change over time: a constant, one value a frame (T,), or a function of the time in seconds."""

_NEIGHBOUR = math.exp(-0.5) / (1 + 2 * math.exp(-0.5))  # 0.27406862; the centre is the rest, 0.45186276


def smooth(values: torch.Tensor) -> torch.Tensor:
    """Apply the published temporal Gaussian to lip weights from sound: (T,D) -> (T,D), any device, differentiable.

    Width 3, sigma 1, kernel [0.27406862, 0.45186276, 0.27406862], zero padded as published: the first and the last
    frame of a constant become 0.726 of it. To smooth motion without that, use `smooth_motion`.
    """
    if values.ndim != 2:
        raise ArgumentError(f"smooth() takes values of the shape (frames, weights); got {tuple(values.shape)}.")
    padded = F.pad(values, (0, 0, 1, 1))
    return _NEIGHBOUR * (padded[:-2] + padded[2:]) + (1 - 2 * _NEIGHBOUR) * values


def resample(motion: Motion, fps: float) -> Motion:
    """Resample a motion to another frame rate: linear between time stamps, exact where both rates have a frame.

    The new length is round(duration * fps), at least 1. Frames after the last input frame hold its values.
    """
    fps = checked_fps(fps)
    if fps == motion.fps:
        return motion
    frames = max(1, round(motion.duration * fps))
    check_whole(frames, "The number of frames", low=1, high=MAX_FRAMES)
    position = torch.arange(frames, dtype=torch.float64) * motion.fps / fps
    nearest = position.round()
    position = torch.where((position - nearest).abs() < 1e-6, nearest, position).clamp(max=motion.frames - 1)
    before = position.floor().long()
    after = (before + 1).clamp(max=motion.frames - 1)
    toward_after = (position - before).unsqueeze(1)

    def interpolate(track: torch.Tensor) -> torch.Tensor:
        return (1 - toward_after) * track[before] + toward_after * track[after]

    return Motion(fps=fps, **{name: interpolate(track) for name, track in motion.tracks.items()})


def fit_length(motion: Motion, frames: int, mode: Mode = "hold", crossfade: float = 0.0) -> Motion:
    """Trim or continue a motion to exactly `frames` frames.

    A longer motion is cut off at the end. A shorter one continues by `mode`: "hold" holds the last frame; "repeat"
    starts again, where `crossfade` seconds (at most half the motion) of its end blend into its start so that the seam
    does not jump; "ping-pong" runs backwards and forwards without repeating the turning frames.
    """
    check_whole(frames, "The number of frames", low=1, high=MAX_FRAMES)
    _check_mode(mode)
    overlap = _overlap(crossfade, motion.fps)
    if overlap and mode != "repeat":
        raise ArgumentError(
            f"A cross-fade joins the end to the start, which only happens in mode 'repeat', not {mode!r}."
        )
    length = motion.frames
    if 2 * overlap > length:
        raise ArgumentError(
            f"A cross-fade of {crossfade:g} s does not fit twice into a motion of {motion.duration:g} s; shorten it."
        )
    if frames <= length:
        return motion.map(lambda track: track[:frames])
    step = torch.arange(frames)
    if mode == "hold":
        return motion.map(lambda track: track[step.clamp(max=length - 1)])
    if mode == "ping-pong":
        indices = back_and_forth(length, frames)
        return motion.map(lambda track: track[indices])
    # Every pass but the first starts while the previous one fades out.
    period = length - overlap
    place = step % period
    fading = (step >= period) & (place < overlap)
    ramp = _ramp(overlap)

    def repeat(track: torch.Tensor) -> torch.Tensor:
        repeated = track[place]
        arriving = place[fading]
        share = ramp[arriving]
        repeated[fading] = share * track[arriving] + (1 - share) * track[arriving + period]
        return repeated

    return motion.map(repeat)


def back_and_forth(count: int, frames: int) -> torch.Tensor:
    """Return the indices (frames,) of `count` frames run backwards and forwards; turning frames are not repeated."""
    there_and_back = max(1, 2 * (count - 1))
    step = torch.arange(frames) % there_and_back
    return torch.minimum(step, there_and_back - step)


def loop(motion: Motion, duration: float, mode: Mode = "repeat", crossfade: float = 0.0) -> Motion:
    """`fit_length` in seconds: trim or loop a motion to round(duration * fps) frames, at least 1."""
    check_number(duration, "The duration", low=0.0)
    return fit_length(motion, max(1, round(duration * motion.fps)), mode, crossfade)


def hold(motion: Motion, frames: int, index: int = 0) -> Motion:
    """Hold one frame of the motion (by default the first; negative indices count from the end) for `frames` frames."""
    return fit_length(motion.frame(index), frames, "hold")


def align(*motions: Motion, fps: float | None = None, frames: int | None = None, mode: Mode = "hold") -> list[Motion]:
    """Bring motions to a common frame rate and length, so that their frames can be added up.

    `fps` defaults to that of the first motion of more than one frame (a single frame has no rate of its own), `frames`
    to the length of the longest. Shorter motions continue by `mode`, single frames are held.
    """
    if not motions:
        raise ArgumentError("There is no motion to align.")
    if fps is None:
        fps = next((motion.fps for motion in motions if motion.frames > 1), motions[0].fps)
    resampled = [_at_rate(motion, fps) for motion in motions]
    length = max(motion.frames for motion in resampled) if frames is None else frames
    return [fit_length(motion, length, mode) for motion in resampled]


def combine(
    *,
    lip: Motion | None = None,
    pose: Motion | None = None,
    expression: Motion | None = None,
    fps: float | None = None,
    frames: int | None = None,
    modes: Mapping[str, Mode] = SHORT_TRACKS,
) -> Motion:
    """Take each track from another motion: the lips of a recording, the head of a video, the expression of a preset.

    Frame rate and length are those of the leading track by the rule of `motion.length`: the lips if they are longer
    than a frame, so that the result lasts as long as the speech, else the longest; `fps` and `frames` override them.
    Each track is fitted to them as by `fit`, shorter tracks by `modes` (track -> mode). A track without a source stays
    missing: it is the portrait's own.
    """
    arguments = {"lip": lip, "pose": pose, "expression": expression}
    sources = {name: source.select(name) for name, source in arguments.items() if source is not None}
    if not sources:
        raise ArgumentError("combine() needs a motion for at least one of lip, pose and expression.")
    if unknown := [name for name in modes if name not in arguments]:
        raise ArgumentError(
            f"There is no track {unknown[0]!r} to give a mode to; the tracks are {', '.join(arguments)}."
        )
    leading = leader({name: source.duration for name, source in sources.items() if source.frames > 1})
    longest = sources[leading] if leading is not None else next(iter(sources.values()))
    if fps is None:
        fps = longest.fps
    if frames is None:
        frames = _at_rate(longest, fps).frames
    tracks = {}
    for source in sources.values():
        tracks.update(fit(source, fps, frames, modes).tracks)
    return Motion(fps=fps, **tracks)


def fit(motion: Motion, fps: float, frames: int, modes: Mapping[str, Mode] = SHORT_TRACKS) -> Motion:
    """Fit a motion to a frame rate and to exactly `frames` frames.

    It is resampled; longer tracks are cut off at the end; shorter tracks continue by `modes` (track -> mode;
    SHORT_TRACKS is the default of each track). A single frame is held.
    """
    resampled = _at_rate(motion, fps)
    tracks = {}
    for name in motion.tracks:
        tracks.update(fit_length(resampled.select(name), frames, modes.get(name, SHORT_TRACKS[name])).tracks)
    return Motion(fps=fps, **tracks)


def blend(first: Motion, second: Motion, amount: Curve, mode: Mode = "hold", frames: int | None = None) -> Motion:
    """Equation 3: W = a * W1 + (1 - a) * W2, where a, the `amount`, is a constant or changes over time.

    a = 1 is `first` and a = 0 is `second`, exactly; a beyond 0..1 extrapolates. Both need the same tracks. Rate and
    length are aligned as in `align`, to `frames` unless it is None; an amount of one value a frame has as many values
    as the result.
    """
    _check_same_tracks((first, second), "blend")
    first, second = align(first, second, frames=frames, mode=mode)
    share = _curve(amount, first, "The amount of a blend")
    others = second.tracks
    return Motion(
        fps=first.fps,
        **{name: share * track + (1 - share) * others[name] for name, track in first.tracks.items()},
    )


def mix(motions: Sequence[Motion], amounts: Sequence[Curve], mode: Mode = "hold") -> Motion:
    """Equation 3 for any number of motions: W = sum of a_i * W_i, the amounts a_i scaled to sum up to 1.

    Amounts are constants or change over time, none below 0 and never all 0 at once. All motions need the same
    tracks; rates and lengths are aligned as in `align`.
    """
    if not motions or len(motions) != len(amounts):
        raise ArgumentError(f"mix() needs one amount for each motion; got {len(motions)} and {len(amounts)}.")
    _check_same_tracks(motions, "mix")
    aligned = align(*motions, mode=mode)
    shares = torch.stack([_curve(amount, aligned[0], "An amount of a mix") for amount in amounts])
    total = shares.sum(0)
    if bool((shares < 0).any()) or bool((total <= 0).any()):
        raise ArgumentError(
            "The amounts of a mix must not be below 0, and at least one must be above 0 in every frame."
        )
    shares = shares / total
    mixed = {
        name: sum(s * motion.track(name) for s, motion in zip(shares, aligned, strict=True))
        for name in aligned[0].tracks
    }
    return Motion(fps=aligned[0].fps, **mixed)


def scale_about(motion: Motion, gain: Curve | Mapping[str, Curve], anchor: Motion | Literal["mean", "first"]) -> Motion:
    """Scale a movement about an anchor: W' = anchor + gain * (W - anchor); 0 is the anchor, 1 leaves it, 2 doubles it.

    `anchor` is a motion of one frame (the portrait's own, say), or this motion's mean or first frame. `gain` is for
    all tracks, or by track: {"pose": 0.5} leaves the others as they are.
    """
    gains: Mapping[str, Curve] = gain if isinstance(gain, Mapping) else dict.fromkeys(motion.tracks, gain)
    if isinstance(anchor, Motion):
        if anchor.frames != 1:
            raise ArgumentError(f"An anchor is a motion of one frame; this one has {anchor.frames}. Use frame(index).")
    elif anchor not in ("mean", "first"):
        raise ArgumentError(f"An anchor is a motion of one frame, 'mean' or 'first'; got {anchor!r}.")
    scaled = {}
    for name, track_gain in gains.items():
        track = motion.track(name)
        if isinstance(anchor, Motion):
            centre = anchor.track(name)
            _check_width(name, track, centre)
        else:
            centre = track.mean(0, keepdim=True) if anchor == "mean" else track[:1]
        share = _curve(track_gain, motion, f"The gain of {name}")
        # Written as equation 3, which gives the track itself at gain 1 and the anchor at 0 without rounding.
        scaled[name] = share * track + (1 - share) * centre
    return motion.with_tracks(**scaled)


def offset(motion: Motion, track: str, amounts: Mapping[int, Curve]) -> Motion:
    """Add to single bases of a track: {base index: amount}, the amount a constant or changing over time.

    Base i of a bank is one direction of movement; offsetting the pose by {0: 0.5} turns the head by a constant.
    """
    values = motion.track(track).clone()
    for base, amount in amounts.items():
        if isinstance(base, bool) or not isinstance(base, Integral) or not 0 <= base < values.shape[1]:
            raise ArgumentError(
                f"The {track} track has the bases 0 to {values.shape[1] - 1}; there is no base {base!r}."
            )
        values[:, base] += _curve(amount, motion, f"The offset of {track} base {base}")[:, 0]
    return motion.with_tracks(**{track: values})


def parse_offsets(text: str) -> dict[int, float]:
    """Parse offsets for `offset`: "1: 2.0, 3: -1" -> {1: 2.0, 3: -1.0}, separated by commas, ";" or lines.

    Raises ArgumentError for anything else, and for a duplicate base.
    """
    amounts: dict[int, float] = {}
    for pair in re.split(r"[,;\n]", text):
        if not pair.strip():
            continue
        base, colon, amount = (part.strip() for part in pair.partition(":"))
        try:
            value = float(amount)
        except ValueError:
            value = math.nan
        if not colon or not re.fullmatch("[0-9]{1,4}", base) or not math.isfinite(value):
            raise ArgumentError(
                f"Offsets are pairs of a base and an amount, such as: 1: 2.0, 3: -1. {pair.strip()!r} is no such pair."
            )
        if int(base) in amounts:
            raise ArgumentError(f"The offsets {text.strip()!r} name the base {int(base)} twice.")
        amounts[int(base)] = value
    return amounts


def smooth_motion(motion: Motion, sigma: float, tracks: Sequence[str] | None = None) -> Motion:
    """Smooth a motion by a temporal Gaussian with a standard deviation of `sigma` seconds (0 changes nothing).

    At both ends the kernel is renormalised over the frames that exist, so that a constant stays constant and the
    ends are not drawn to zero. `tracks` names the tracks to smooth; by default all.
    """
    check_number(sigma, "The width of the smoothing (sigma)", low=0.0)
    smoothed = {name: motion.track(name) for name in (motion.tracks if tracks is None else tracks)}
    deviation = sigma * motion.fps
    if deviation < 1e-3:
        return motion
    reach = min(motion.frames - 1, math.ceil(4 * deviation))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / deviation) ** 2)

    def convolve(values: torch.Tensor) -> torch.Tensor:
        return F.conv1d(values.double().T.unsqueeze(1), kernel.view(1, 1, -1), padding=reach).squeeze(1).T

    weight = convolve(torch.ones(motion.frames, 1))
    return motion.with_tracks(**{name: convolve(track) / weight for name, track in smoothed.items()})


def trim(motion: Motion, start: float = 0.0, end: float | None = None) -> Motion:
    """Return the part from `start` to `end` in seconds (by default to the end), cut at the nearest frames."""
    end = motion.duration if end is None else end
    check_number(start, "The start of a trim")
    check_number(end, "The end of a trim")
    first, stop = round(start * motion.fps), round(end * motion.fps)
    if not 0 <= first < stop <= motion.frames:
        raise ArgumentError(
            f"A trim from {start:g} s to {end:g} s leaves nothing or reaches beyond a motion of {motion.duration:g} s."
        )
    return motion.map(lambda track: track[first:stop])


def concatenate(motions: Sequence[Motion], crossfade: float = 0.0) -> Motion:
    """Concatenate motions at the rate of the first, each blending into the next over `crossfade` seconds.

    Both motions run during a cross-fade, so each cross-fade shortens the result by its length. All motions need the
    same tracks, and each must be long enough for the cross-fades at its ends.
    """
    if not motions:
        raise ArgumentError("There is no motion to concatenate.")
    _check_same_tracks(motions, "join")
    fps = motions[0].fps
    overlap = _overlap(crossfade, fps)
    parts = [resample(motion, fps) for motion in motions]
    for place, part in enumerate(parts):
        needed = overlap * ((place > 0) + (place < len(parts) - 1))
        if part.frames < needed:
            raise ArgumentError(
                f"Motion {place + 1} lasts {part.duration:g} s, too short for cross-fades of {crossfade:g} s at its "
                f"end{'s' if needed > overlap else ''}."
            )
    if not overlap:
        return Motion(fps=fps, **{name: torch.cat([part.track(name) for part in parts]) for name in parts[0].tracks})
    ramp = _ramp(overlap)
    joined = {}
    for name in parts[0].tracks:
        pieces = [parts[0].track(name)]
        for part in parts[1:]:
            last, track = pieces.pop(), part.track(name)
            seam = ramp * track[:overlap] + (1 - ramp) * last[-overlap:]
            pieces += [last[:-overlap], seam, track[overlap:]]
        joined[name] = torch.cat(pieces)
    return Motion(fps=fps, **joined)


def delay(motion: Motion, seconds: float) -> Motion:
    """Delay a motion: hold its first frame for so many seconds, to the nearest frame."""
    wait = round(seconds * motion.fps)
    return concatenate([hold(motion, wait), motion]) if wait else motion


def reverse(motion: Motion) -> Motion:
    """Reverse a motion in time."""
    return motion.map(lambda track: track.flip(0))


def _at_rate(motion: Motion, fps: float) -> Motion:
    """Resample a motion; a single frame has no rate of its own and stays a single frame."""
    return resample(motion, fps) if motion.frames > 1 else Motion(fps=fps, **motion.tracks)


def _curve(amount: Curve, motion: Motion, name: str) -> torch.Tensor:
    """Return the amount in each frame of the motion, (T,1); `name` is the subject of its errors."""
    if callable(amount):
        amount = [amount(frame / motion.fps) for frame in range(motion.frames)]
    if isinstance(amount, torch.Tensor):
        values = amount.detach().to(device="cpu", dtype=torch.float32)
    else:
        try:
            values = torch.from_numpy(np.array(amount, dtype=np.float32))
        except (TypeError, ValueError):
            raise ArgumentError(
                f"{name} must be a number, one number a frame, or a function of seconds; got {type(amount).__name__}."
            ) from None
    if not bool(torch.isfinite(values).all()):
        raise ArgumentError(f"{name} must be finite; it holds NaN or an infinite value.")
    if values.ndim and values.shape != (motion.frames,):
        raise ArgumentError(f"{name} needs {motion.frames} values, one a frame; got the shape {tuple(values.shape)}.")
    return values.expand(motion.frames).unsqueeze(1)


def _ramp(frames: int) -> torch.Tensor:
    """Return the weights (frames,1) of the later motion in a cross-fade: smoothstep, without 0 and 1 themselves."""
    x = torch.arange(1, frames + 1, dtype=torch.float32).unsqueeze(1) / (frames + 1)
    return x * x * (3 - 2 * x)


def _overlap(crossfade: float, fps: float) -> int:
    check_number(crossfade, "The cross-fade", low=0.0)
    return round(crossfade * fps)


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise ArgumentError(f"There is no mode {mode!r} to continue a motion; the modes are {', '.join(MODES)}.")


def _check_same_tracks(motions: Sequence[Motion], verb: str) -> None:
    names = [tuple(motion.tracks) for motion in motions]
    if len(set(names)) > 1:
        track_lists = "; ".join(" and ".join(tracks) for tracks in names)
        raise MotionError(
            f"Motions to {verb} need the same tracks; got {track_lists}. Select one that all have, or combine tracks "
            "of different motions into one motion."
        )
    for name, track in motions[0].tracks.items():
        for motion in motions[1:]:
            _check_width(name, track, motion.track(name))


def _check_width(name: str, track: torch.Tensor, other: torch.Tensor) -> None:
    if track.shape[1] != other.shape[1]:
        raise MotionError(
            f"The {name} tracks are of different models: one has {track.shape[1]} weights, the other {other.shape[1]}."
        )
