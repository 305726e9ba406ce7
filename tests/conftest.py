"""What every test shares: one thread for torch, in this process and in those it starts; tests run side by side."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
