"""Pose flow phi_p: a normalizing flow over head motion given speech (supplement 1.1, equations 1 and 2), and emotion
where it has learned that (equation 13).

The density of a clip is autoregressive: a product over its frames of each pose given the preceding frames and the
speech. A sample can therefore have any length, and its head motion is continuous throughout.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UnsupportedCheckpoint
from ..progress import Progress
from .speech_encoder import SpeechEncoder
from .state import MAX_WIDTH, State, TrackNetwork, rows

HEAD = 16
"""Width of an attention head; the number of heads follows from the layer's width."""

LAGS = 8
"""Number of preceding frames whose movements are direct inputs of every coupling."""

RECENT = (3, 12)
"""Window lengths of the moving averages of speed, in frames; a third average covers all preceding frames."""

_TAIL = max(LAGS, *RECENT) + 1

_LOG_SCALE_BOUND = 1.5


def frame_spectra(windows: Tensor) -> Tensor:
    """Mel windows (...,80,16) -> spectrum of the frame itself (...,80), from the middle 40 ms of the window.

    The windows of neighbouring frames overlap; their middles cover the audio exactly once.
    """
    return windows[..., 7:11].mean(-1)


class ActNorm(nn.Module):
    """h' = (h - mu) / delta, with mu and delta initialised from data and then learned."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def initialise(self, h: Tensor) -> None:
        """Set shift and scale so that the values (N,channels) are mapped to mean 0 and standard deviation 1."""
        deviation, mean = torch.std_mean(h, dim=0)
        self.shift.copy_(-mean)
        self.log_scale.copy_(-deviation.clamp(min=1e-6).log())

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Values and the log-determinant, the same for every frame."""
        return (h + self.shift) * self.log_scale.exp(), self.log_scale.sum()

    def inverse(self, h: Tensor) -> Tensor:
        """Inverse of `forward`."""
        return h * (-self.log_scale).exp() - self.shift


class InvertibleConvolution(nn.Module):
    """h'' = W h', a 1x1 convolution with W = P L U: P a fixed permutation, L unit lower and U upper triangular.

    The determinant is the product of U's diagonal, whose signs are fixed and whose magnitudes are positive, so W is
    always invertible.
    """

    permutation: Tensor
    signs: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("permutation", torch.empty(channels, channels))
        self.register_buffer("signs", torch.empty(channels))
        self.lower = nn.Parameter(torch.empty(channels, channels))
        self.upper = nn.Parameter(torch.empty(channels, channels))
        self.log_diagonal = nn.Parameter(torch.empty(channels))
        # Not on the meta device, where models are recognised before they are read: linear algebra there imports
        # torch._dynamo, which takes seconds.
        if not self.lower.is_meta:
            self._start_with_rotation()

    @torch.no_grad()
    def _start_with_rotation(self) -> None:
        channels = len(self.signs)
        permutation, lower, upper = torch.linalg.lu(torch.linalg.qr(torch.randn(channels, channels))[0])
        self.permutation.copy_(permutation)
        self.signs.copy_(upper.diagonal().sign())
        self.lower.copy_(lower.tril(-1))
        self.upper.copy_(upper.triu(1))
        self.log_diagonal.copy_(upper.diagonal().abs().log())

    def weight(self) -> Tensor:
        """W (channels,channels)."""
        lower = self.lower.tril(-1) + torch.eye(len(self.signs), device=self.lower.device, dtype=self.lower.dtype)
        upper = self.upper.triu(1) + torch.diag(self.signs * self.log_diagonal.exp())
        return self.permutation @ lower @ upper

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Values and the log-determinant, the same for every frame."""
        return h @ self.weight().T, self.log_diagonal.sum()


Memory = tuple[Tensor, Tensor]
"""Key-value cache (B,heads,N,HEAD) of preceding frames."""


class TransformerCoupling(nn.Module):
    """The coupling's network F: shift t and log-scale of the second half from the first half and the context.

    A transformer layer over time: a frame attends to itself and the `span` - 1 frames before it, with a learned bias
    for each distance and no absolute positions, so that clips may have any length. A parallel linear path gives a
    linear prediction from the preceding movements.
    """

    def __init__(self, inputs: int, outputs: int, width: int, span: int, dropout: float) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, width)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        self.distance = nn.Parameter(torch.zeros(width // HEAD, span))
        self.attended = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.output_norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, 2 * outputs)
        self.linear = nn.Linear(inputs, outputs)
        self.dropout = nn.Dropout(dropout)
        # Zero initialisation: couplings start as the identity, the flow as a random walk with Gaussian steps.
        for layer in (self.output, self.linear):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, memory: Memory | None = None) -> tuple[Tensor, Tensor, Memory]:
        """First half and context (B,T,inputs) -> t and log s (B,T,outputs), and the cache for the next frames."""
        h = self.input(x)
        batch, frames, width = h.shape
        span = self.distance.shape[1]
        parts = self.attention(self.attention_norm(h)).view(batch, frames, 3, width // HEAD, HEAD)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        if memory is not None:
            key, value = torch.cat([memory[0], key], dim=2), torch.cat([memory[1], value], dim=2)
        total = key.shape[2]
        distances = torch.arange(total - frames, total, device=x.device)[:, None] - torch.arange(total, device=x.device)
        bias = self.distance[:, distances.clamp(0, span - 1)].masked_fill(
            (distances < 0) | (distances >= span), -torch.inf
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        h = h + self.dropout(self.attended(attended.transpose(1, 2).reshape(batch, frames, width)))
        h = h + self.dropout(self.feedforward(self.feedforward_norm(h)))
        shift, log_scale = self.output(self.output_norm(h)).chunk(2, dim=-1)
        log_scale = _LOG_SCALE_BOUND * torch.tanh(log_scale / _LOG_SCALE_BOUND)
        start = max(0, total - (span - 1))
        return shift + self.linear(x), log_scale, (key[:, :, start:], value[:, :, start:])


class FlowStep(nn.Module):
    """Actnorm, invertible 1x1 convolution, affine coupling h = (h''_2 + t) * s with h''_1 unchanged."""

    def __init__(self, channels: int, context: int, width: int, span: int, dropout: float) -> None:
        super().__init__()
        self.first_width = channels // 2
        self.actnorm = ActNorm(channels)
        self.convolution = InvertibleConvolution(channels)
        self.coupling = TransformerCoupling(
            self.first_width + context, channels - self.first_width, width, span, dropout
        )

    def forward(self, h: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Values (B,T,channels) and context (B,T,context) -> values and log-determinant of every frame (B,T)."""
        h, norm_determinant = self.actnorm(h)
        h, convolution_determinant = self.convolution(h)
        first, second = h.split([self.first_width, h.shape[-1] - self.first_width], dim=-1)
        shift, log_scale, _ = self.coupling(torch.cat([first, context], dim=-1))
        h = torch.cat([first, (second + shift) * log_scale.exp()], dim=-1)
        return h, log_scale.sum(-1) + norm_determinant + convolution_determinant

    def inverse(self, h: Tensor, context: Tensor, unmix: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        """Inverse of `forward` for the frames after those in `memory`; `unmix` is the inverse convolution matrix."""
        first, second = h.split([self.first_width, h.shape[-1] - self.first_width], dim=-1)
        shift, log_scale, memory = self.coupling(torch.cat([first, context], dim=-1), memory)
        h = torch.cat([first, second * (-log_scale).exp() - shift], dim=-1)
        return self.actnorm.inverse(h @ unmix.T), memory


class Past(NamedTuple):
    """State of the flow after the preceding frames; its size does not depend on their number."""

    first: Tensor
    """First pose of the clip (B,1,pose); like all fields, normalised."""
    tail: Tensor
    """The most recent poses (B,n,pose)."""
    speed: Tensor
    """Running sum of speeds (B,1)."""
    place: Tensor
    """Running sum of offsets from the first pose (B,1,pose)."""
    frames: int
    """Number of preceding frames."""


class PoseFlow(TrackNetwork):
    """Invertible map between the pose weights of a clip and noise z ~ N(0, 1), given its speech and emotion.

    The flow maps the movement from the preceding frame to each frame. The context of the couplings is the past head
    motion (recent movements, average speeds, offset from the first pose) and the speech around the frame. The first
    frame has a separate Gaussian. So z has the shape of the pose, and the density is exact for clips of any length.

    Poses are (B,T,pose) in the model's units; `audio` is the result of `hear`, None without audio. An emotion changes
    what the couplings hear: `feel` returns features to add to those of `hear`, zeros where the emotion is not known.
    """

    LABEL = "a pose flow"
    TRACK = "pose"

    mean: Tensor
    """Mean of the pose weights (pose,)."""
    deviation: Tensor
    """Standard deviation of the pose weights (pose,); the flow normalises poses by mean and deviation."""
    pace: Tensor
    """Standard deviation of the frame-to-frame movements of normalised poses (pose,)."""
    start: Tensor
    """Cholesky factor of the covariance of normalised poses (pose,pose): distribution of the first frame."""

    def __init__(
        self,
        pose: int = 6,
        steps: int = 6,
        width: int = 48,
        span: int = 50,
        audio: int = 16,
        dropout: float = 0.1,
        emotions: int = 0,
    ) -> None:
        super().__init__()
        self.pose, self.audio = pose, audio
        self.emotion: nn.Linear | None = None
        if emotions:
            self.add_emotions(emotions)
        for name in ("mean", "deviation", "pace"):
            self.register_buffer(name, torch.full((pose,), float(name != "mean")))
        # Not torch.eye, which imports torch._dynamo on the meta device.
        self.register_buffer("start", torch.zeros(pose, pose).fill_diagonal_(1))
        self.speech = SpeechEncoder(48, audio)
        context = (LAGS + 2) * pose + len(RECENT) + 1 + audio
        self.steps = nn.ModuleList(FlowStep(pose, context, width, span, dropout) for _ in range(steps))

    @property
    def weights(self) -> int:
        """Number of pose weights per frame."""
        return self.pose

    def add_emotions(self, emotions: int) -> None:
        """Add features of emotions, all zero: until they are trained they change nothing."""
        self.emotion = nn.Linear(emotions, self.audio, bias=False)
        nn.init.zeros_(self.emotion.weight)

    @classmethod
    def sizes_of(cls, state: State, source: str = "The state") -> dict[str, Any]:
        """Number of pose weights, of steps, of audio features and of emotions, width and span; see the base class.

        Raises UnsupportedCheckpoint when there is no step, or a tensor that determines a size is missing.
        """
        steps = {int(match[1]) for name in state if (match := re.match(r"steps\.(\d{1,3})\.actnorm\.shift$", name))}
        distance, mapping = state.get("steps.0.coupling.distance"), "speech.mapping.bias"
        emotion = state.get("emotion.weight")
        if not steps or "mean" not in state or mapping not in state or distance is None or distance.ndim != 2:
            raise UnsupportedCheckpoint(
                f"{source} holds a pose flow that cannot be used: mean, {mapping}, steps.0.actnorm.shift or "
                "steps.0.coupling.distance is missing or damaged. Download it again."
            )
        return {
            "pose": rows(state, "mean"),
            "steps": max(steps) + 1,
            "width": rows(state, "steps.0.coupling.attended.weight"),
            "span": min(distance.shape[1], MAX_WIDTH),
            "audio": rows(state, mapping),
            "emotions": min(emotion.shape[1], MAX_WIDTH) if emotion is not None and emotion.ndim == 2 else 0,
        }

    def hear(self, spectra: Tensor) -> Tensor:
        """Encode speech: spectra (B,T,80) (see `frame_spectra`) -> audio features (B,T,audio)."""
        return self.speech(spectra)

    def feel(self, emotion: Tensor) -> Tensor:
        """Strengths of the emotions (...,emotions) -> features to add to those of `hear` (...,audio); of 0, zeros."""
        assert self.emotion is not None
        return self.emotion(emotion)

    def _chain(self) -> list[FlowStep]:
        return cast(list[FlowStep], list(self.steps))

    def _past(self, x: Tensor, before: Past | None = None) -> tuple[Tensor, Past]:
        """Features of the past, up to and including each normalised pose of x (B,T,pose): (B,T,context without audio).

        `before`: the state returned for the frames before x; None at the start of a clip.
        """
        frames = x.shape[1]
        if before is None:
            before = Past(x[:, :1], x[:, :0], x.new_zeros(len(x), 1), torch.zeros_like(x[:, :1]), 0)
        joined = torch.cat([before.tail, x], dim=1)
        moves = torch.diff(joined, dim=1, prepend=joined[:, :1]) / self.pace
        lagged = F.pad(moves, (0, 0, LAGS - 1, 0)).unfold(1, LAGS, 1).transpose(2, 3).flatten(2)[:, -frames:]
        speed = moves.norm(dim=-1)
        move_count = before.frames + torch.arange(frames, device=x.device)
        speeds = before.speed + speed[:, -frames:].cumsum(1)
        # Averages include one extra frame of speed 1, a prior for the start of a clip.
        recent = [
            (F.pad(speed, (length - 1, 0)).unfold(1, length, 1).sum(-1)[:, -frames:] + 1)
            / (move_count.clamp(max=length) + 1)
            for length in RECENT
        ]
        pace = torch.stack([*recent, (speeds + 1) / (move_count + 1)], dim=-1)
        place = x - before.first
        places = before.place + place.cumsum(1)
        features = torch.cat([lagged, place, places / (move_count + 1)[:, None], (pace + 0.05).log()], dim=-1)
        return features, Past(before.first, joined[:, -_TAIL:], speeds[:, -1:], places[:, -1:], before.frames + frames)

    def _context(self, past: Tensor, audio: Tensor | None) -> Tensor:
        """Past (B,T,...) and audio features (B,T,audio) or None -> context of the couplings."""
        return torch.cat([past, past.new_zeros(*past.shape[:2], self.audio) if audio is None else audio], dim=-1)

    @torch.no_grad()
    def initialise(self, poses: list[Tensor]) -> None:
        """Initialise the statistics and every actnorm from clips (T,pose), before the first training step.

        The flow is then a random walk of independent Gaussian movements.
        """
        frames = torch.cat(poses)
        self.mean.copy_(frames.mean(0))
        self.deviation.copy_(frames.std(0).clamp(min=1e-6))
        self.start.copy_(torch.linalg.cholesky(torch.cov(((frames - self.mean) / self.deviation).T)))
        moves = torch.cat([pose.diff(dim=0) for pose in poses]) / self.deviation
        self.pace.copy_(moves.std(0).clamp(min=1e-6))
        h = moves / self.pace
        for step in self._chain():
            step.actnorm.initialise(h)
            h = step.convolution(step.actnorm(h)[0])[0]

    def forward(self, pose: Tensor, audio: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Equation 1: pose (B,T,pose) and audio features -> z (B,T,pose) and the log-determinant of each frame (B,T).

        T is at least 2.
        """
        x = (pose - self.mean) / self.deviation
        context = self._context(self._past(x[:, :-1])[0], None if audio is None else audio[:, 1:])
        h = torch.diff(x, dim=1) / self.pace
        determinant = -self.pace.log().sum()
        for step in self._chain():
            h, change = step(h, context)
            determinant = determinant + change
        first = torch.linalg.solve_triangular(self.start, x[:, :1].transpose(1, 2), upper=False).transpose(1, 2)
        first_determinant = -self.start.diagonal().log().sum().expand(len(x), 1)
        determinants = torch.cat([first_determinant, determinant], dim=1) - self.deviation.log().sum()
        return torch.cat([first, h], dim=1), determinants

    def log_prob(self, pose: Tensor, audio: Tensor | None = None) -> Tensor:
        """Log-density in nats of every frame given those before it (B,T); the sum over T is that of the clip."""
        z, determinants = self(pose, audio)
        return determinants - 0.5 * (z.square().sum(-1) + self.pose * math.log(2 * math.pi))

    @torch.no_grad()
    def inverse(
        self,
        z: Tensor,
        audio: Tensor | None = None,
        *,
        first: Tensor | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Equation 2: noise z (B,T,pose) and audio features (B,T,audio) -> pose (B,T,pose), frame after frame.

        `first` (B,pose): first pose of the clip, in place of the one from z. Apart from the result, memory does not
        grow with T.
        """
        if first is None:
            x = z[:, :1] @ self.start.T
        else:
            x = ((first - self.mean) / self.deviation).unsqueeze(1)
        chain = self._chain()
        unmix = [torch.linalg.inv(step.convolution.weight()) for step in chain]
        memories: list[Memory | None] = [None] * len(chain)
        # Not a list of frames: a tensor of its own for each takes a hundred times its six numbers.
        poses = torch.empty_like(z)
        poses[:, :1] = x
        before = None
        for frame in range(1, z.shape[1]):
            past, before = self._past(x, before)
            context = self._context(past, None if audio is None else audio[:, frame : frame + 1])
            h = z[:, frame : frame + 1]
            for i in reversed(range(len(chain))):
                h, memories[i] = chain[i].inverse(h, context, unmix[i], memories[i])
            x = x + h * self.pace
            poses[:, frame : frame + 1] = x
            if progress is not None:
                progress(frame + 1, z.shape[1])
        return poses * self.deviation + self.mean

    def sample(
        self,
        frames: int,
        audio: Tensor | None = None,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        first: Tensor | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Sample head motion (frames,pose) with z ~ N(0, temperature^2), given audio features (frames,audio) or None.

        Noise is drawn on the CPU, so that a seed gives the same noise on every device; a longer sample starts with the
        frames of a shorter one. `first` (pose,): first pose.
        """
        # In multiples of 16: torch draws the last numbers of a tensor differently when they do not fill a group of 16.
        padded = math.ceil(frames / 16) * 16
        noise = torch.randn(padded, self.pose, generator=torch.Generator().manual_seed(seed))[:frames]
        z = (temperature * noise).to(self.mean).unsqueeze(0)
        pose = self.inverse(
            z,
            None if audio is None else audio.unsqueeze(0),
            first=None if first is None else first.to(self.mean).unsqueeze(0),
            progress=progress,
        )
        return pose[0]
