"""What is measured, and how: each module prints a table, and `--append` adds a dated row to RESULTS.md.

python -m benchmarks.step_latency --checkpoint checkpoints/blockworld --append
python -m benchmarks.record --append
python -m benchmarks.train_throughput --config configs/blockworld.yaml --append
"""
