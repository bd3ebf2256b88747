from ..cli.conftest import configs, fresh_host, toy_root

__all__ = ['configs', 'fresh_host', 'toy_root']
