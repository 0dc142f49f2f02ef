"""Evaluation of a model on held-out clips: metrics, and contact sheets for visual inspection.

`suite.evaluate` measures; `edtalk evaluate --json` prints `Evaluation.as_dict()`. The metrics of a clip are listed in
`metrics.METRICS`, with unit, better direction and inputs. Figures of all clips are means over the clips that have the
metric, and `clips` is the number of clips measured. Landmarks are the 68 of the shipped face mesh.

`reenactment`: the first frame of each clip is rendered with the weights that the model reads from its other frames, at
the model's resolution, and compared with every fifth of those frames. The same figures for the unchanged first frame
are `repeat_l1`, `repeat_psnr`, `repeat_ssim`, `repeat_perceptual`, `repeat_mouth_lmd` and `repeat_face_lmd`: a
model must be better than these.

- `l1`: mean absolute difference of the pixels relative to their range (0 to 1); lower is better.
- `psnr`: peak signal-to-noise ratio in dB, 60 for identical frames; higher is better.
- `ssim`: structural similarity (Wang et al. 2004), at most 1; higher is better.
- `perceptual`: LPIPS-like distance of network features, see `pictures.PerceptualDistance`; lower is better.
  Figures are comparable only for the same `backbone`.
- `mouth_lmd`, `face_lmd`: mean distance of the landmarks of the mouth, and of all, from the true ones, in eye distances
  (of the outer corners of the true eyes); lower is better.
- `l1_below_repeat`, `perceptual_below_repeat`: relative improvement on the repeated frame, 1 minus the ratio of
  the means; higher is better.
- `psnr_above_repeat`: difference of the mean to that of the repeated frame, in dB; higher is better.

`mouth`: sound alone drives the mouth of each clip's first frame, see `protocols.Speech`. The relative mouth opening,
the distance of the inner lips over the face's height, is compared over time in every second frame of the first eight
seconds. Clips without speech, or whose mouth hardly moves, are skipped.

- `own`: correlation of the rendered with the true opening, driven by the clip's own sound (-1 to 1), without a search
  over lags; higher is better.
- `other`: the same for the sound of another person's clip, which is unrelated to this mouth; near 0 is better.
- `amplitude`: standard deviation of the rendered opening over that of the true one, own sound; near 1 is better.

`disentanglement`: each weight alone is swept from the 5th to the 95th percentile of its values in the clips, on up to
eight portraits; by track, see `disentanglement.TrackChange`:

- `change`: mean absolute difference of the pixels between both ends (0 to 1) in each region of `faces.regions`.
- `mouth_to_rest`: change of the mouth over that of the rest of the face: high for lips, low for pose and expression.
- `rotation`, `largest_rotation`: of the head in degrees, mean and maximum over the weights: low except for pose.
- `opening`, `largest_opening`: change of the mouth's opening relative to `opening_range`, its range in the clips, mean
  and maximum over the weights: high for lips, low for pose.
- `portraits`: number of portraits.

`pose`: likelihood of held-out head motion under the pose flow, and statistics of its samples, see `pose.PoseFigures`:

- `flow`, `flow_without_speech`, `gaussian`, `random_walk`: log-density of the clips' poses in nats per frame under the
  flow, under the flow without speech, and under two baselines; higher is better.
- `inverse_error`: largest error of the flow's inverse, in units of the pose weights; lower is better.
- `speed_ratio`, `range_ratio`, `shakiness_ratio`: of samples relative to clips, medians; near 1 is better.
- `mean_speed_ratio`, `mean_range_ratio`: the same for means, which are sensitive to outliers.
- `seed_distance`: distance between samples of two seeds relative to the range of clips; 0 if all samples are identical.
- `start_speed_ratio`: speed of the samples' first half second relative to the rest; near 1 is better.
- `drift_ratio`: range of a long sample's last third relative to its first; near 1 is better.
"""
