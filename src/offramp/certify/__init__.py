"""The statistics behind every promise: agreement, bounds, thresholds, certificates, online tests.

Pure: arrays in, values out. Sources, per module: Clopper and Pearson (1934) in ``bounds``, Learn then Test
(arXiv 2110.01052) in ``threshold``, betting and mixture martingales (arXiv 2010.09686, 1810.08240) in
``evidence``.
"""
