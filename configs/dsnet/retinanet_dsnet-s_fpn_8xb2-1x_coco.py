# As with DS-FPN, with the usual FPN.
_base_ = './retinanet_dsnet-s_dsfpn_8xb2-1x_coco.py'

model = dict(neck=dict(type='FPN'))
