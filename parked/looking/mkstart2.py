import numpy as np, sys, shutil
from safetensors.numpy import load_file, save_file
src,dst,up,vs,pe=sys.argv[1],sys.argv[2],float(sys.argv[3]),float(sys.argv[4]),float(sys.argv[5])
shutil.copytree(src,dst)
w=load_file(src+'/model.safetensors'); rng=np.random.default_rng(1)
for k in w:
    if k.startswith('visual.'):
        if k.endswith('bias'): w[k][:]=0
        elif 'norm' in k or 'ln_q' in k: w[k][:]=1
        elif 'patch_embed' in k: w[k]=w[k]*(pe/w[k].std())
        else: w[k]=w[k]*(vs/w[k].std())
    elif up and ('model.layers.2.' in k or 'model.layers.3.' in k) and k.endswith('proj.weight'):
        w[k]=(rng.standard_normal(w[k].shape)*up/np.sqrt(w[k].shape[1])).astype(np.float32)
save_file(w,dst+'/model.safetensors',metadata={'format':'pt'})
