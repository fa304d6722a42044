"""The papers' ablation studies: each trains its variants at an equal budget and scores them alike."""
