"""What do video models look at, and when?

`from interpvid import explain, wrap, read_frames`: the names of the library, each imported when it is first used, and
without fastai. `from interpvid.all import *` brings these and all that a notebook about training or the paper needs.
"""
from importlib import import_module

__version__ = "0.1.0"

_ROOMS = {
    'core': 'STATS to_batch to_frames',
    'files': 'versions',
    'video': 'probe read_frames sample_indices write_video',
    'data.clips': 'ArrayClips Clips FileClips folder_items',
    'data.synthetic': 'SYNTHETIC_CLASSES make_clips',
    'data.ssv2': 'SSV2_CLASSES ssv2_items',
    'data.kth': 'KTH_CLASSES kth_items',
    'models.i3d': 'I3D',
    'models.clstm': 'CLSTM',
    'models.adapters': 'wrap',
    'models.padding': 'repad',
    'models.checkpoints': 'import_weights load_model save_model',
    'models.pretrained': 'pretrained',
    'classify': 'predict table1',
    'cam': 'gradcam',
    'gradients': 'gradient_input integrated_gradients softened',
    'masks.perturb': 'blur freeze reverse',
    'masks.search': 'search_windows',
    'masks.learn': 'MASK_PRESETS learn_masks',
    'masks.scores': 'mask_scores',
    'removal': 'attribute compare_removals',
    'exam.candidates': 'CANDIDATES Candidate',
    'exam.yardsticks': 'YARDSTICKS',
    'exam.known': 'known_models try_known',
    'explanation': 'Explanation explain load_explanations save_explanations',
    'exam.measures': 'Sheet exam_sheet',
    'exam.results': 'compare_exams load_exam',
    'exam.sitting': 'run_exam',
    'timeline': 'with_timeline',
    'gallery': 'write_gallery',
    'film': 'explain_film',
    'sweep': 'load_sweep run_sweep',
    'share': 'export for_captum for_quantus frame_groups',
    'hub': 'pull_from_hub push_to_hub',
    'report.answers': 'assert_not_static assert_uses_motion assert_uses_order',
    'report.evidence': 'assert_looks_at',
    'report.page': 'make_report',
    'widgets': 'Browser Painter Scrubber',
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'interpvid' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f'interpvid.{_HOME[name]}'), name)
    return value


def __dir__():
    return sorted({*globals(), *_HOME})
