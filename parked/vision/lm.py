from vit import *
def rope1(n,hd,th=1e6):
    q=hd//2; inv=1/(th**(torch.arange(q)/q)); f=torch.arange(n)[:,None]*inv; f=torch.cat([f,f],-1); return f.cos(),f.sin()
class DB(nn.Module):
    def __init__(s,d,h,m,std):
        super().__init__(); s.h=h; s.n1,s.n2=RMS(d),RMS(d); s.qkv=nn.Linear(d,3*d); s.o=nn.Linear(d,d,bias=False); s.g=nn.Linear(d,m,bias=False); s.u=nn.Linear(d,m,bias=False); s.dn=nn.Linear(m,d,bias=False)
        for l in (s.qkv,s.o,s.g,s.u,s.dn): nn.init.normal_(l.weight,std=std)
        nn.init.zeros_(s.qkv.bias)
    def forward(s,x,cs):
        B,N,d=x.shape; q,k,v=s.qkv(s.n1(x)).reshape(B,N,3,s.h,-1).permute(2,0,3,1,4)
        q=q*cs[0]+rot(q)*cs[1]; k=k*cs[0]+rot(k)*cs[1]
        x=x+s.o(F.scaled_dot_product_attention(q,k,v,is_causal=True).transpose(1,2).reshape(B,N,d)); y=s.n2(x); return x+s.dn(F.silu(s.g(y))*s.u(y))
class LM(nn.Module):
    def __init__(s,K,vstd,pe,std,emb,head,L=4,D=4,t1=50,t2=30,scale=1.,low=None):
        super().__init__(); n=Net(K,std=vstd,L=L,pe=pe,ro=.02); s.v=n; d=128; s.K=K; s.off=[100+sum(K[:i]) for i in range(6)]; s.scale=scale
        for p in [*n.kv.parameters(),*n.wq.parameters(),*n.wo.parameters(),*n.ml.parameters(),*n.head.parameters()]: p.requires_grad_(False)
        s.e=nn.Parameter(torch.randn(1024,d)*emb); s.h=nn.Linear(d,1024,bias=False); nn.init.normal_(s.h.weight,std=head); s.dec=nn.ModuleList(DB(d,4,384,std if i>1 else (low or std)) for i in range(D)); s.f=RMS(d)
        g=torch.Generator().manual_seed(5); s.T1=torch.randint(200,1000,(t1,),generator=g); s.T2=torch.randint(200,1000,(t2,),generator=g); s.cs=rope1(t1+t2+16+5,32)
    def forward(s,x,y):
        v=s.v; x=v.pe(x)
        for b in v.bl: x=b(x,v.cs)
        x=v.nq(x); B=x.shape[0]; x=x.reshape(B,4,2,4,2,v.d).permute(0,1,3,2,4,5).reshape(B,16,4*v.d); x=v.m2(F.gelu(v.m1(x)))*s.scale
        w=y+torch.tensor(s.off)
        z=torch.cat([s.e[s.T1].expand(B,-1,-1),x,s.e[s.T2].expand(B,-1,-1),s.e[w[:,:5]]],1)
        for b in s.dec: z=b(z,s.cs)
        return s.h(s.f(z))[:,-6:],w
def main(name,steps=300,bs=32,lr=1e-3,vstd=.088,pe=.125,std=.02,emb=.02,head=.02,b2=.999,seed=0,D=4,t1=50,t2=30,scale=1.,low=None):
    torch.manual_seed(seed); X,Y,K=load(); n=len(X)-600; net=LM(K,vstd,pe,std,emb,head,D=D,t1=t1,t2=t2,scale=scale,low=low); ps=[p for p in net.parameters() if p.requires_grad]
    opt=torch.optim.AdamW(ps,lr=lr,weight_decay=.01,betas=(.9,b2)); t=time.time(); run=0; g=torch.Generator().manual_seed(seed)
    for st in range(1,steps+1):
        ix=torch.randint(n,(bs,),generator=g)
        for gr in opt.param_groups: gr['lr']=lr*min(1,st/20)
        o,w=net(patches(X[ix]),Y[ix]); loss=F.cross_entropy(o.reshape(-1,1024),w.reshape(-1))*6
        opt.zero_grad(); loss.backward(); torch.nn.utils.clip_grad_norm_(ps,1.0); opt.step(); run+=loss.item()
        if st%50==0:
            with torch.no_grad():
                o,w=net(patches(X[n:]),Y[n:]); acc=(o.argmax(-1)==w).float().mean(0).tolist()
            print(name,st,round(run/50,3),[round(100*a) for a in acc],round(time.time()-t),flush=True); run=0
if __name__=='__main__':
    kw={k:eval(v) for k,v in (a.split('=') for a in sys.argv[2:])}; main(sys.argv[1],**kw)
