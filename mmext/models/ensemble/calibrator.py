"""PRAE's calibration: what a score of a detector has been worth on a labelled split.

Paper: "Probabilistic Ranking-Aware Ensembles for Enhanced Object Detections", Mao et al., 2021,
https://arxiv.org/abs/2105.03139. The authors have published no code, and only the paper's abstract and the
beginning of its introduction could be read. What is computed here is mmext's complete reading of them; the
plug-in's page, configs/prae/README.md, defines it.
"""
from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError, did_you_mean
from ...evaluation.rotated.matching import Objects
from ...ops.pnms.geometry import box_areas
from ...registry import TASK_UTILS
from .columns import Detections
from .files import read_calibration, write_calibration
from .rewards import rewards
from .table import BANDITS, area_bin_of, bin_of, corrected, counted, refined

RAW = 'raw'


@TASK_UTILS.register_module()
class PRAECalibrator:
    """Replaces scores by how often detections like this one were right on a labelled split.

    Counted are detections and their rewards by detector, class, area and score; rarely seen cells are
    corrected as in a bandit problem. A class of which the split has no object takes the curve of the
    detector over all classes, with a warning.

    Args:
        num_bins: Number K of score bins.
        iou_thrs: IoU thresholds over 0; the reward of a detection is the share that it reaches.
        area_edges: Ascending areas in square pixels that part small from large boxes.
        assign: 'independent': right is what overlaps any object of its class enough; 'greedy': each
            object makes one detection right, so that duplicates count as errors (use it after NMS only).
        bandit: 'none', 'ucb' (adds ``alpha * sqrt(2 ln N / n)``), 'lcb' (subtracts it), 'wilson' (lower
            bound of Wilson's interval, ``alpha`` standard deviations), or 'raw': scores stay as they are.
        alpha: 0 or more.
        min_count: A cell with fewer detections asks coarser ones.
        monotone: Make each curve rise with the score.
        keep_raw: 0 to 1, share of the raw score in the result; it keeps the order within a bin.
        interpolate: Between the centres of score bins.
        file: A calibration to load; it brings its own settings, which replace all of the above.

    Attributes:
        count, reward (np.ndarray | None): (M, C, A, K), after :meth:`fit` or from ``file``.
        table (np.ndarray | None): (M, C, A, K), the value of each cell.
        detector_names, class_names (tuple[str, ...]): Of M detectors and C classes.
        selection (dict): Cross-validated AP of each candidate, if :meth:`select` has chosen.

    Raises:
        UserError: For an argument that cannot be, or a file that is no calibration.

    Example:
        >>> dict(type='mmext.PRAECalibrator', file='work_dirs/prae/calibration.json')
    """

    def __init__(self,
                 num_bins: int = 20,
                 iou_thrs: Sequence[float] = (0.5, ),
                 area_edges: Sequence[float] = (),
                 assign: str = 'independent',
                 bandit: str = 'ucb',
                 alpha: float = 0.1,
                 min_count: int = 1,
                 monotone: bool = False,
                 keep_raw: float = 1e-3,
                 interpolate: bool = True,
                 file: str | Path | None = None) -> None:
        self.num_bins, self.alpha, self.min_count = int(num_bins), float(alpha), int(min_count)
        self.iou_thrs = tuple(float(one) for one in np.atleast_1d(np.asarray(iou_thrs, np.float64)))
        self.area_edges = tuple(float(one) for one in area_edges)
        self.assign, self.bandit = assign, bandit
        self.monotone, self.interpolate, self.keep_raw = bool(monotone), bool(interpolate), float(keep_raw)
        self.detector_names: tuple[str, ...] = ()
        self.class_names: tuple[str, ...] = ()
        self.class_objects: np.ndarray = np.zeros(0)
        self.selection: dict[str, float] = {}
        self.count: np.ndarray | None = None
        self.reward: np.ndarray | None = None
        self.table: np.ndarray | None = None
        self._check()
        if file is not None:
            self._take(read_calibration(Path(file)))

    def _check(self) -> None:
        for name, value, choices in (('assign', self.assign, ('independent', 'greedy')),
                                     ('bandit', self.bandit, (*BANDITS, RAW))):
            if value not in choices:
                raise UserError(f"{name}: '{value}' is not {' or '.join(choices)}"
                                f'{did_you_mean(str(value), choices)}')
        for name, good, wanted in (
                ('num_bins', self.num_bins >= 1, '1 or more'),
                ('iou_thrs', self.iou_thrs and all(0 < one <= 1 for one in self.iou_thrs), 'over 0 to 1'),
                ('area_edges', list(self.area_edges) == sorted(set(self.area_edges)), 'ascending'),
                ('alpha', self.alpha >= 0, '0 or more'),
                ('min_count', self.min_count >= 1, '1 or more'),
                ('keep_raw', 0 <= self.keep_raw <= 1, '0 to 1')):
            if not good:
                raise UserError(f'{name}: {getattr(self, name)} must be {wanted}')

    # --------------------------------------------------------------------------------- fitting

    def fit(self,
            found: Detections,
            objects: Objects,
            detectors: Sequence[str],
            classes: Sequence[str],
            progress: Callable[[int, int], None] | None = None) -> PRAECalibrator:
        """Count on a labelled split, which should have trained none of the detectors.

        Args:
            found: Detections, best before NMS (each detector's own NMS is fine).
            objects: The ground truth, boxes of the same kind; difficult ones are ignored.
            detectors: Names of the detectors.
            classes: Names of the classes.
            progress: Is told how many detections are done, and of how many.

        Returns:
            Itself.

        Raises:
            UserError: If the detections cannot be (see :meth:`.Detections.check`), there are no
                objects, or a detector has no detection.
        """
        self._count(found, self.rewards_of(found, objects, detectors, classes, progress), objects, detectors,
                    classes)
        self._warn_of_empty_classes()
        return self

    def rewards_of(self, found: Detections, objects: Objects, detectors: Sequence[str],
                   classes: Sequence[str], progress: Callable[[int, int], None] | None = None
                   ) -> tuple[np.ndarray, np.ndarray]:
        """(N, ) rewards of the detections, and (N, ) bool: which of them count. See :meth:`fit`."""
        found.check(detectors, len(classes))
        if not (~objects.difficult).any():
            raise UserError('the labelled split has no object: nothing can be counted')
        silent = np.flatnonzero(np.bincount(found.detector, minlength=len(detectors)) == 0)
        if len(silent):
            raise UserError(f'{detectors[silent[0]]} has no detection on the labelled split')
        if objects.boxes.shape[1] != found.boxes.shape[1]:
            raise UserError(f'detections have {found.boxes.shape[1]} numbers a box, objects '
                            f'{objects.boxes.shape[1]}')
        return rewards(found, objects, self.iou_thrs, self.assign, len(classes), len(detectors), progress)

    def _count(self, found: Detections, worth: tuple[np.ndarray, np.ndarray], objects: Objects,
               detectors: Sequence[str], classes: Sequence[str]) -> None:
        value, counts = worth
        used = found[counts]
        shape = (len(detectors), len(classes), len(self.area_edges) + 1, self.num_bins)
        count, reward = counted(
            shape, used.detector, used.label, area_bin_of(box_areas(used.boxes), self.area_edges),
            bin_of(used.scores, self.num_bins), value[counts])
        class_objects = np.bincount(objects.label[~objects.difficult], minlength=len(classes))
        bandit = 'none' if self.bandit == RAW else self.bandit
        table = corrected(count, reward, bandit, self.alpha, self.min_count, self.monotone,
                          class_objects == 0)
        # All at once: what stops a fit in the middle leaves the last one as it was.
        vars(self).update(count=count, reward=reward, table=table, class_objects=class_objects,
                          detector_names=tuple(detectors), class_names=tuple(classes), selection={})

    def _warn_of_empty_classes(self) -> None:
        empty = [name for name, number in zip(self.class_names, self.class_objects) if not number]
        if empty:
            warnings.warn(f'PRAE: the split has no object of {", ".join(empty[:8])}'
                          f'{f" and {len(empty) - 8} more" if len(empty) > 8 else ""}: the detectors\' '
                          'curves over all classes are taken', stacklevel=3)

    def select(self,
               found: Detections,
               objects: Objects,
               detectors: Sequence[str],
               classes: Sequence[str],
               candidates: Sequence[str] = (RAW, 'none', 'ucb'),
               folds: int = 5,
               iou_threshold: float = 0.5,
               progress: Callable[[int, int], None] | None = None) -> PRAECalibrator:
        """Fit, with the ``bandit`` of the best cross-validated AP after P-NMS.

        Calibration can lose where scores are ranked well already and the split is small: 'raw' then
        wins. Images are dealt to the folds in turn; the same folds serve all candidates.

        Args:
            found, objects, detectors, classes, progress: See :meth:`fit`.
            candidates: Values of ``bandit``; of equal ones the first wins.
            folds: 2 or more, at most the number of images.
            iou_threshold: Of the P-NMS.

        Returns:
            Itself, fitted on everything, ``selection`` filled.

        Raises:
            UserError: As :meth:`fit`; for an unknown candidate, or fewer images than folds.
        """
        from .evaluate import mean_ap
        from .fusion import PRAEFusion

        images = np.unique(np.concatenate([found.image, objects.image]))
        if not 2 <= folds <= len(images):
            raise UserError(f'folds: {folds} must be 2 to the number of images, {len(images)}')
        for name in candidates:
            if name not in (*BANDITS, RAW):
                raise UserError(f"candidates: '{name}' is not one of {', '.join((*BANDITS, RAW))}"
                                f'{did_you_mean(name, (*BANDITS, RAW))}')
        value, counts = self.rewards_of(found, objects, detectors, classes, progress)
        fusion = PRAEFusion(nms=dict(type='p_nms', iou_threshold=iou_threshold), max_per_img=-1)
        ap = dict.fromkeys(candidates, 0.0)
        trial = copy.copy(self)
        for fold in range(folds):
            held = images[fold::folds]
            out, objects_out = np.isin(found.image, held), np.isin(objects.image, held)
            truth, test = _rows(objects, objects_out), found[out]
            rest = found[~out], (value[~out], counts[~out]), _rows(objects, ~objects_out)
            for name in candidates:
                trial.bandit = name
                trial._count(*rest, detectors, classes)
                ap[name] += mean_ap(fusion(test, trial).detections, truth, len(classes),
                                    self.iou_thrs) / folds
        trial.bandit = max(candidates, key=lambda name: ap[name])
        trial._count(found, (value, counts), objects, detectors, classes)
        trial.selection = ap
        vars(self).update(vars(trial))  # an interrupted choice changes nothing
        self._warn_of_empty_classes()
        return self

    # -------------------------------------------------------------------------------- applying

    def refine(self, found: Detections) -> np.ndarray:
        """The scores by which to rank: (N, ) float64.

        Raises:
            UserError: If nothing has been fitted, or the detections are not of this calibration's
                detectors and classes.
        """
        if self.table is None:
            raise UserError('PRAECalibrator: nothing has been fitted; call fit, or give file=...')
        found.check(self.detector_names, len(self.class_names))
        if self.bandit == RAW:
            return found.scores
        return refined(self.table, found.detector, found.label,
                       area_bin_of(box_areas(found.boxes), self.area_edges), found.scores,
                       self.interpolate, self.keep_raw)

    def require(self, detectors: Sequence[str], classes: Sequence[str] | None, where: str) -> None:
        """Refuse to calibrate other detectors or classes than those that were counted.

        Raises:
            UserError: If names or their order differ; ``classes`` None compares detectors only.
        """
        for what, own, given in (('detectors', self.detector_names, tuple(detectors)),
                                 ('classes', self.class_names, classes and tuple(classes))):
            if given is None or own == given:
                continue
            how = 'in another order than' if sorted(own) == sorted(given) else 'not'
            raise UserError(f'{where}: {what} are {", ".join(given[:8])}, {how} those of the calibration, '
                            f'{", ".join(own[:8])}; fit one for them (mmext ensemble fit)')

    # ----------------------------------------------------------------------------------- files

    @property
    def config(self) -> dict[str, Any]:
        """The settings, as arguments of this class."""
        return dict(num_bins=self.num_bins, iou_thrs=list(self.iou_thrs), area_edges=list(self.area_edges),
                    assign=self.assign, bandit=self.bandit, alpha=self.alpha, min_count=self.min_count,
                    monotone=self.monotone, keep_raw=self.keep_raw, interpolate=self.interpolate)

    def save(self, path: str | Path) -> Path:
        """Write the calibration; what was there stays until the new one is whole.

        Raises:
            UserError: If nothing has been fitted.
        """
        if self.count is None or self.reward is None or self.table is None:
            raise UserError('PRAECalibrator: nothing has been fitted that could be saved')
        return write_calibration(Path(path), dict(
            config=self.config, detector_names=list(self.detector_names),
            class_names=list(self.class_names), class_objects=self.class_objects.tolist(),
            selection=self.selection, count=self.count.tolist(), reward=self.reward.tolist(),
            table=self.table.tolist()))

    @classmethod
    def load(cls, path: str | Path) -> PRAECalibrator:
        """A calibration that :meth:`save` wrote.

        Raises:
            UserError: If the file is none, or of another version.
        """
        return cls(file=path)

    def _take(self, content: dict[str, Any]) -> None:
        PRAECalibrator.__init__(self, **content['config'])
        self.detector_names, self.class_names = (tuple(content[f'{what}_names'])
                                                 for what in ('detector', 'class'))
        self.class_objects = np.asarray(content['class_objects'], np.int64)
        self.selection = content['selection']
        self.count, self.reward, self.table = (np.asarray(content[key], np.float64)
                                               for key in ('count', 'reward', 'table'))


def _rows(objects: Objects, rows: np.ndarray) -> Objects:
    return Objects(objects.image[rows], objects.label[rows], objects.boxes[rows], objects.difficult[rows])
