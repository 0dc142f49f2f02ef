"""How good a model is on clips that it was not trained on: figures, and sheets to be looked at.

`suite.evaluate` measures; `Evaluation.as_dict()` is what `edtalk evaluate --json` prints. A figure of one clip is named
in `metrics.METRICS`, with its unit, its better direction and what it needs; figures of all clips are means over the
clips that have it, and `clips` says how many were measured. Landmarks are the 68 that the shipped face mesh places.

`reenactment`: the first frame of each clip is rendered with the weights that the model reads off its other frames, at
the model's resolution, and compared with those frames, every fifth of them. The same figures of the first frame as it
is are `repeat_l1`, `repeat_psnr`, `repeat_ssim`, `repeat_perceptual`, `repeat_mouth_lmd` and `repeat_face_lmd`: a model
that is not better has learned nothing.

- `l1`: mean absolute difference of the pixels, in shares of their range (0 to 1), lower is better.
- `psnr`: peak signal-to-noise ratio in dB, of frames equal to each other 60; higher is better.
- `ssim`: structural similarity (Wang et al. 2004), at most 1; higher is better.
- `perceptual`: distance of network features in the manner of LPIPS, see `pictures.PerceptualDistance`; lower is better.
  Its figures compare with those of the same `backbone` only.
- `mouth_lmd`, `face_lmd`: mean distance of the landmarks of the mouth, and of all, from the true ones, in eye distances
  (of the outer corners of the true eyes); lower is better.
- `l1_below_repeat`, `perceptual_below_repeat`: share by which the mean is below that of the repeated frame, 1 less
  their ratio; higher is better.
- `psnr_above_repeat`: the mean less that of the repeated frame, in dB; higher is better.

`mouth`: sound alone drives the mouth of each clip's first frame, see `protocols.Speech`. Compared over time is the
relative mouth opening: the distance of the inner lips over the face's height, in every second frame of the first eight
seconds. Clips without speech are left out, and those whose mouth hardly moves.

- `own`: correlation of the rendered with the true opening when the clip's own sound drives it (-1 to 1), without a
  search for a lag; higher is better.
- `other`: the same for the sound of another person's clip, which should tell nothing of this mouth: near 0 is better.
- `amplitude`: deviation of the rendered opening over that of the true one, own sound; near 1 is better.

`disentanglement`: each weight alone goes from the 5th to the 95th percentile of what the model reads off the clips, on
up to eight portraits; by track, see `disentanglement.TrackChange`:

- `change`: mean absolute difference of the pixels between both ends (0 to 1) in each of `faces.regions`.
- `mouth_to_rest`: change of the mouth over that of the rest of the face: high for lips, low for pose and expression.
- `rotation`, `largest_rotation`: of the head in degrees, mean and greatest over the weights: low but for pose.
- `opening`, `largest_opening`: change of the mouth's opening in shares of `opening_range`, the range that it has in the
  clips, mean and greatest over the weights: high for lips, low for pose.
- `portraits`: how many there were.

`pose`: how well the pose flow knows heads it has not seen, and whether what it samples moves as heads do, see
`pose.PoseFigures`:

- `flow`, `flow_without_speech`, `gaussian`, `random_walk`: log-density of the clips' poses in nats per frame under the
  flow, under the flow without speech, and under two baselines; higher is better.
- `inverse_error`: largest error of the flow's inverse, in units of the pose weights; lower is better.
- `speed_ratio`, `range_ratio`, `shakiness_ratio`: of samples over clips, medians; near 1 is better.
- `mean_speed_ratio`, `mean_range_ratio`: the same of means, which single wild clips decide.
- `seed_distance`: distance between samples of two seeds over the range of clips: 0 when all samples are the same.
- `start_speed_ratio`: speed of the samples' first half second over that of the rest; near 1 is better.
- `drift_ratio`: range of a long sample's last third over that of its first; near 1 is better.
"""
