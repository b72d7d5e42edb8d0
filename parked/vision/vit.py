"""Mini Qwen2.5-VL-like ViT + query read-out, trained on attribute labels: what helps?"""
import torch,torch.nn as nn,torch.nn.functional as F,json,sys,time,math,numpy as np,os
from PIL import Image
torch.set_num_threads(int(os.environ.get('T','2')))
sys.path.insert(0,'/tmp/w')
D='/tmp/w/scrambled-media/'
WORDS=['one','two','three','four']
SING={'stars':'star','circles':'circle','squares':'square','triangles':'triangle','crosses':'cross'}
def load():
    cache='/tmp/v/data.pt'
    if os.path.exists(cache): return torch.load(cache)
    X=[];Y=[]
    def add(p,desc):
        w=desc.split(',')[0].split()
        cnt,size,col,shape=w[:4]; bg=w[-1]; place=w[-2]
        X.append(np.asarray(Image.open(D+p).convert('RGB').resize((112,112),Image.BICUBIC))); Y.append([cnt,size,col,SING.get(shape,shape),place,bg])
    for l in open(D+'sm-TI2T.jsonl'):
        d=json.loads(l); add(d['prompt'][0]['path'],d['answer'].split('Wanted: ')[1].split('.')[0])
    for l in open(D+'sm-T2I.jsonl'):
        d=json.loads(l); a=d['answer'].split('\n\n')[1]
        add(d['responses'][0][0]['path'],a.split('A is ')[1].split('.')[0]); add(d['responses'][1][0]['path'],a.split('B is ')[1].split('.')[0])
    V=[sorted({y[i] for y in Y}) for i in range(6)]
    print([ (len(v),v) for v in V])
    Yi=torch.tensor([[V[i].index(y[i]) for i in range(6)] for y in Y])
    X=torch.from_numpy(np.stack(X)); torch.save((X,Yi,[len(v) for v in V]),cache); return X,Yi,[len(v) for v in V]
mean=torch.tensor([0.48145466,0.4578275,0.40821073]); std=torch.tensor([0.26862954,0.26130258,0.27577711])
def patches(x): # u8 [b,112,112,3] -> [b,64,588], merge order as is
    x=(x.float()/255-mean)/std
    return x.reshape(-1,8,14,8,14,3).permute(0,1,3,5,2,4).reshape(-1,64,588)
class RMS(nn.Module):
    def __init__(s,d): super().__init__(); s.w=nn.Parameter(torch.ones(d))
    def forward(s,x): return x*torch.rsqrt(x.pow(2).mean(-1,keepdim=True)+1e-6)*s.w
def rope(hd):
    q=hd//4; inv=1/(10000**(torch.arange(q)/q))
    y,x=torch.meshgrid(torch.arange(8.),torch.arange(8.),indexing='ij')
    f=torch.cat([y.reshape(-1,1)*inv,x.reshape(-1,1)*inv],-1); f=torch.cat([f,f],-1); return f.cos(),f.sin()
def rot(x): a,b=x.chunk(2,-1); return torch.cat([-b,a],-1)
class Block(nn.Module):
    def __init__(s,d,h,m,std):
        super().__init__(); s.h=h
        s.n1,s.n2=RMS(d),RMS(d); s.qkv=nn.Linear(d,3*d); s.o=nn.Linear(d,d); s.g=nn.Linear(d,m); s.u=nn.Linear(d,m); s.dn=nn.Linear(m,d)
        for l in (s.qkv,s.o,s.g,s.u,s.dn): nn.init.normal_(l.weight,std=std); nn.init.zeros_(l.bias)
    def forward(s,x,cs):
        B,N,d=x.shape; q,k,v=s.qkv(s.n1(x)).reshape(B,N,3,s.h,-1).permute(2,0,3,1,4)
        q=q*cs[0]+rot(q)*cs[1]; k=k*cs[0]+rot(k)*cs[1]
        a=F.scaled_dot_product_attention(q,k,v).transpose(1,2).reshape(B,N,d)
        x=x+s.o(a); y=s.n2(x); return x+s.dn(F.silu(s.g(y))*s.u(y))
class Net(nn.Module):
    def __init__(s,ks,d=128,h=4,m=384,L=4,std=.02,white=False,pe=None,ro=None):
        super().__init__(); s.pe=nn.Linear(588,d,bias=False); nn.init.normal_(s.pe.weight,std=(pe or std)*2**.5); rs=ro or std
        s.bl=nn.ModuleList(Block(d,h,m,std) for _ in range(L)); s.nq=RMS(d); s.m1=nn.Linear(4*d,4*d); s.m2=nn.Linear(4*d,d)
        for l in (s.m1,s.m2): nn.init.normal_(l.weight,std=std); nn.init.zeros_(l.bias)
        s.cs=rope(d//h); s.d=d
        # read-out: decoder-like: queries attend to image tokens with position, two layers
        s.q=nn.Parameter(torch.randn(6,d)*(ro or std)); s.pos=nn.Parameter(torch.randn(16,d)*.3)
        s.kv=nn.ModuleList(nn.Linear(d,2*d) for _ in range(2)); s.wq=nn.ModuleList(nn.Linear(d,d) for _ in range(2)); s.wo=nn.ModuleList(nn.Linear(d,d) for _ in range(2)); s.ml=nn.ModuleList(nn.Sequential(RMS(d),nn.Linear(d,m),nn.SiLU(),nn.Linear(m,d)) for _ in range(2)); s.nn=RMS(d); s.nk=RMS(d)
        std=rs
        for l in [*s.kv,*s.wq,*s.wo,*[x for y in s.ml for x in y if isinstance(x,nn.Linear)]]: nn.init.normal_(l.weight,std=std); nn.init.zeros_(l.bias)
        s.head=nn.ModuleList(nn.Linear(d,k) for k in ks)
    def forward(s,x):
        x=s.pe(x)
        for b in s.bl: x=b(x,s.cs)
        x=s.nq(x); B=x.shape[0]
        x=x.reshape(B,4,2,4,2,s.d).permute(0,1,3,2,4,5).reshape(B,16,4*s.d)
        x=s.m2(F.gelu(s.m1(x)))
        t=s.nk(x)+s.pos; z=s.q.expand(B,6,s.d)
        for i in range(2):
            q=s.wq[i](s.nn(z)).reshape(B,6,4,-1).transpose(1,2); k,v=s.kv[i](t).reshape(B,16,2,4,-1).permute(2,0,3,1,4)
            z=z+s.wo[i](F.scaled_dot_product_attention(q,k,v).transpose(1,2).reshape(B,6,s.d)); z=z+s.ml[i](z)
        return [h(z[:,i]) for i,h in enumerate(s.head)]
def main(name,steps=400,bs=32,lr=1e-3,std=.02,white=False,mim=False,L=4,h=4,wd=.01,b2=.999,seed=0,drop=0,pe=None,ro=None):
    torch.manual_seed(seed); X,Y,K=load(); n=len(X)-600; net=Net(K,std=std,L=L,h=h,pe=pe,ro=ro)
    if white:
        import dct
        sys.argv=['x','a','b']
        from importlib import import_module
        W=white_filters(); net.pe.weight.data=W
    if mim:
        for b in net.bl:
            d=128; P=torch.linalg.qr(torch.randn(d,d))[0]
            Q=P*mim; b.qkv.weight.data[:d]=Q+torch.randn(d,d)*.02; b.qkv.weight.data[d:2*d]=Q+torch.randn(d,d)*.02
            V=torch.linalg.qr(torch.randn(d,d))[0]*.4; b.qkv.weight.data[2*d:]=V; b.o.weight.data=-V.T+torch.randn(d,d)*.02
    opt=torch.optim.AdamW(net.parameters(),lr=lr,weight_decay=wd,betas=(.9,b2)); t=time.time(); run=0
    g=torch.Generator().manual_seed(seed)
    hist=[]
    for st in range(1,steps+1):
        ix=torch.randint(n,(bs,),generator=g)
        for gr in opt.param_groups: gr['lr']=lr*min(1,st/20)
        o=net(patches(X[ix])); loss=sum(F.cross_entropy(a,Y[ix,i]) for i,a in enumerate(o))
        opt.zero_grad(); loss.backward(); torch.nn.utils.clip_grad_norm_(net.parameters(),1.0); opt.step(); run+=loss.item()
        if st%100==0:
            with torch.no_grad():
                o=net(patches(X[n:])); acc=[(a.argmax(-1)==Y[n:,i]).float().mean().item() for i,a in enumerate(o)]
            print(name,st,round(run/100,3),[round(100*a) for a in acc],round(time.time()-t),flush=True); run=0
def white_filters():
    from dct import B,C
    import numpy as np
    out=[]
    c=sorted(((u*u+v*v)**.5,u,v) for u in range(14) for v in range(14))
    for k,nf in ((0,56),(1,36),(2,36)):
        for r,u,v in c[:nf]:
            s=(30. if k==0 else 3.) if r==0 else (2.5 if k==0 else 1.3)*r**-1.3
            s=max(s,.1); out.append(np.einsum('c,h,w->chw',C[k],B[u],B[v]).reshape(-1)*.5/s)
    return torch.tensor(np.stack(out),dtype=torch.float32)
if __name__=='__main__':
    kw={k:eval(v) for k,v in (a.split('=') for a in sys.argv[2:])}; main(sys.argv[1],**kw)
